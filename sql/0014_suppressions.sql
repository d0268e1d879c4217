-- People asked not to be told of these: some evidence (detectors with a key, tenant, network or
-- route), or a maintenance window (all detectors of some keys or tenants). Rows are only added: one
-- of kind `begin`, and one of kind `end` if somebody ends it before `ends`.
--
-- Suppressed alerts are in `alerts` like all others; `deliveries` says which suppression hid them.
-- No TTL: this is the audit trail, and it is small.
CREATE TABLE IF NOT EXISTS suppressions
(
    id             String,
    kind           LowCardinality(String) COMMENT 'begin or end',
    who            String,
    note           String,
    detectors      Array(String) COMMENT 'empty for all',
    keys           Array(String) COMMENT 'empty for all',
    tenants        Array(String) COMMENT 'empty for all',
    asn            UInt32 COMMENT '0 for all',
    cidr           String,
    route          String,
    starts         DateTime64(6, 'UTC'),
    ends           DateTime64(6, 'UTC'),
    hides_critical Bool,
    time           DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = MergeTree
ORDER BY (id, time)
SETTINGS non_replicated_deduplication_window = 10000;
