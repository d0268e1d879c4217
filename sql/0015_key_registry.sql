-- The key registry: registrations and events in the life of keys. Rows are only added.
--
-- A change is a set of rows under one random name. It counts once `key_changes` has a row for it,
-- whose deduplication token is made of the number: of two processes that take the same number,
-- ClickHouse keeps the first, and the other takes the next one. So numbers rise without a gap in
-- what they name, a process reads what came after the number it knows, and a command that is
-- interrupted changes nothing. The latest row of a key counts.
--
-- Sorted by change, since every process asks each second for the rows of new changes.
CREATE TABLE IF NOT EXISTS key_changes
(
    number UInt64,
    change String,
    who    String,
    origin LowCardinality(String) COMMENT 'command_line or api',
    time   DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = MergeTree
ORDER BY number
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS api_key_rows
(
    change        String,
    key_id        String,
    owner         String CODEC(ZSTD(1)),
    tenant        String CODEC(ZSTD(1)),
    environment   LowCardinality(String),
    class         LowCardinality(String),
    tags          Array(LowCardinality(String)),
    scopes        Array(LowCardinality(String)),
    allowed_cidrs Array(String) CODEC(ZSTD(1)),
    created_at    Nullable(DateTime64(6, 'UTC')),
    expires_at    Nullable(DateTime64(6, 'UTC')),
    revoked_at    Nullable(DateTime64(6, 'UTC')),
    rotated_to    String,
    grace_ends_at Nullable(DateTime64(6, 'UTC')),
    status        LowCardinality(String) COMMENT 'active, retired, suspended or revoked',
    canary        Bool COMMENT 'a trap that nobody may use; the tag canary means the same',
    key_hash      String COMMENT 'HMAC-SHA-256 of the raw key in hexadecimal, or empty',
    INDEX key_filter key_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
ORDER BY (change, key_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS key_event_rows
(
    change String,
    key_id String,
    kind   LowCardinality(String) COMMENT 'issued, rotated, revoked, leaked and others',
    time   DateTime64(6, 'UTC') COMMENT 'when it happened',
    source LowCardinality(String) COMMENT 'where a leak was found',
    url    String CODEC(ZSTD(1)),
    text   String CODEC(ZSTD(1)),
    INDEX key_filter key_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
ORDER BY (change, key_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- Each key as it is registered now. Keys of a registry file are not here.
CREATE VIEW IF NOT EXISTS api_keys AS
SELECT
    key_id, owner, tenant, environment, class, tags, scopes, allowed_cidrs, created_at, expires_at,
    revoked_at, rotated_to, grace_ends_at, status, canary,
    toBool(canary OR has(tags, 'canary')) AS is_canary, key_hash,
    multiIf(
        status = 'revoked' OR revoked_at <= now64(6), 'revoked',
        status = 'suspended', 'suspended',
        expires_at <= now64(6), 'expired',
        grace_ends_at <= now64(6) OR (status = 'retired' AND grace_ends_at IS NULL), 'retired',
        rotated_to != '', 'rotating',
        'active') AS lifecycle,
    changes.number AS number, changes.time AS changed_at, changes.who AS changed_by
FROM api_key_rows AS registrations
INNER JOIN key_changes AS changes ON changes.change = registrations.change
ORDER BY changes.number DESC
LIMIT 1 BY key_id;

CREATE VIEW IF NOT EXISTS key_events AS
SELECT
    key_id, kind, events.time AS time, source, url, text, changes.number AS number,
    changes.time AS recorded_at, changes.who AS recorded_by, changes.origin AS origin
FROM key_event_rows AS events
INNER JOIN key_changes AS changes ON changes.change = events.change;

-- Which scopes each key used on which day, for the least set of scopes that would have done. Raw
-- requests are gone before a quarter is over.
CREATE TABLE IF NOT EXISTS key_scope_day
(
    key_id   String CODEC(ZSTD(1)),
    scope    LowCardinality(String),
    day      Date CODEC(Delta, LZ4),
    requests SimpleAggregateFunction(sum, UInt64) CODEC(T64, LZ4)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (key_id, scope, day)
TTL day + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS key_scope_day_view TO key_scope_day AS
SELECT key_id, scope, toDate(time) AS day, count() AS requests
FROM access_events
WHERE scope != '' AND quarantined = ''
GROUP BY key_id, scope, day;
