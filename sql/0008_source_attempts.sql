-- What partitions let each other know of sources: attempts with keys that are refused away from
-- home, and of networks where that happens also those that are granted. Read by network, and
-- asked which networks have news.
--
-- `network` is the IPv4 /24 or IPv6 /48 of `client_ip`, its first address. An attempt may be here
-- twice; that changes nothing. A day is what is usual for a source, and more than an incident
-- stays open; parts are dropped whole.
CREATE TABLE IF NOT EXISTS source_attempts
(
    network       IPv6,
    time          DateTime64(6, 'UTC') CODEC(Delta, LZ4),
    client_ip     IPv6,
    key_hash      UInt64,
    is_accepted   Bool,
    is_refused    Bool COMMENT 'and the key is not at home there',
    key_id        String COMMENT 'of a key that exists and is not at home there; else empty',
    tenant        LowCardinality(String),
    topic         LowCardinality(String),
    partition     Int32,
    record_offset Int64,
    record_index  UInt32,
    stored_at     DateTime64(6, 'UTC') DEFAULT now64(6),
    INDEX stored_at_range stored_at TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(stored_at)
ORDER BY (network, time)
TTL toDateTime(stored_at) + INTERVAL 1 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;
