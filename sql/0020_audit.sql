-- What each process was started with. No TTL: this is the audit trail, and it is small.
CREATE TABLE IF NOT EXISTS process_starts
(
    owner          String COMMENT 'the process',
    version        LowCardinality(String) COMMENT 'of Keywatch',
    policy_version LowCardinality(String),
    model_version  LowCardinality(String),
    config         String COMMENT 'the effective configuration as JSON, secrets masked' CODEC(ZSTD(3)),
    time           DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = MergeTree
ORDER BY (time, owner)
SETTINGS non_replicated_deduplication_window = 10000;

-- The audit log: a copy of what was decided and done, as a chain. The hash of a link covers its
-- content and the hash of the link before it, so that no link can be changed, moved or taken out
-- without breaking those after it. `keywatch audit verify` checks the chain, and compares each
-- link with the row that it was made of.
--
-- The chain is one for all processes. A block of links carries a deduplication token made of its
-- first number: of two processes that continue the same link, ClickHouse keeps the first block.
-- Numbers rise; one that was lost with a killed server is skipped.
CREATE TABLE IF NOT EXISTS audit_log
(
    number    UInt64,
    kind      LowCardinality(String) COMMENT 'alert, act, request, delivery, suppression, account or start',
    id        String COMMENT 'of the row',
    time      DateTime64(6, 'UTC') COMMENT 'of the row',
    record    Array(String) COMMENT 'its columns, as name=value' CODEC(ZSTD(3)),
    previous  String COMMENT 'the hash of the link before',
    hash      String COMMENT 'SHA-256 of all columns above, in hexadecimal',
    sealed_by LowCardinality(String) COMMENT 'the process',
    sealed_at DateTime64(6, 'UTC') DEFAULT now64(6),
    INDEX time_range time TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
ORDER BY number
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 1024;

-- The rows that belong into the audit log. An alert is named by its hash: its text may be long.
-- `alerts` and `deliveries` keep one row of several that have the same place: the last part of their
-- ids tells these apart.
CREATE VIEW IF NOT EXISTS audit_sources AS
SELECT
    'alert' AS kind, concat(id, '/', toString(revision), '/', toString(toUnixTimestamp64Micro(detected_at))) AS id,
    detected_at AS time,
    [concat('type=', type), concat('key=', key_id), concat('source=', ifNull(toString(source_ip), '')),
        concat('tenant=', tenant), concat('severity=', severity), concat('action=', action),
        concat('dry_run=', toString(dry_run)), concat('restraint=', restraint),
        concat('policy=', policy_version), concat('model=', model_version),
        concat('sha256=', lower(hex(SHA256(alert))))] AS record
FROM alerts
UNION ALL
SELECT
    'act', id, time,
    [concat('incident=', incident), concat('who=', who), concat('origin=', origin),
        concat('kind=', kind), concat('reason=', reason), concat('assignee=', assignee),
        concat('text=', text), concat('seen_revision=', toString(seen_revision)),
        concat('seen_action=', seen_action), concat('quiet_seconds=', toString(quiet_seconds))]
FROM incident_acts
UNION ALL
SELECT
    'request', toString(number), time,
    [concat('incident=', incident), concat('revision=', toString(revision)), concat('key=', key_id),
        concat('action=', action), concat('tenant=', tenant), concat('kind=', kind),
        concat('is_kept=', toString(is_kept)), concat('by=', owner),
        concat('sha256=', lower(hex(SHA256(alert))))]
FROM revocation_requests
UNION ALL
SELECT
    'delivery', concat(channel, '/', alert_id, '/', toString(revision), '/', toString(attempt), '/',
        toString(toUnixTimestamp64Micro(time))), time,
    [concat('outcome=', outcome), concat('detail=', detail), concat('webhook_id=', webhook_id)]
FROM deliveries
UNION ALL
SELECT
    'suppression', concat(id, '/', kind, '/', toString(toUnixTimestamp64Micro(time))), time,
    [concat('who=', who), concat('note=', note),
        concat('detectors=', arrayStringConcat(detectors, ',')),
        concat('keys=', arrayStringConcat(keys, ',')),
        concat('tenants=', arrayStringConcat(tenants, ',')),
        concat('asn=', toString(asn)), concat('cidr=', cidr), concat('route=', route),
        concat('starts=', toString(starts)), concat('ends=', toString(ends)),
        concat('hides_critical=', toString(hides_critical))]
FROM suppressions
UNION ALL
SELECT
    'account', concat(name, '/', id), time,
    [concat('who=', who), concat('kind=', kind), concat('role=', role),
        concat('sha256=', lower(hex(SHA256(secret))))]
FROM accounts
UNION ALL
SELECT
    'start', concat(owner, '/', toString(toUnixTimestamp64Micro(time))), time,
    [concat('version=', version), concat('policy=', policy_version),
        concat('model=', model_version), concat('sha256=', lower(hex(SHA256(config))))]
FROM process_starts;
