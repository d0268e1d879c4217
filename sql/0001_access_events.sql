-- One row a request. No secret: raw keys, nonces and signatures arrive hashed.
--
-- Empty strings and zero AS numbers mean "unknown": Nullable would cost a second
-- file a column for nothing an analyst asks. Nullable stays where zero is a value.
-- Fingerprints are zero when absent; a 128-bit keyed hash never is.
--
-- Sorted by key, then time: nearly every question is about one key, and equal neighbours
-- compress to almost nothing. ZSTD(1) on what is long or random, LZ4 (the default) costs
-- less on what is short; Delta before it on what rises slowly.
--
-- A partition a day, so that the TTL drops whole parts and rewrites nothing. The days
-- kept come from `clickhouse.raw_retention_days`, applied after the migrations.
--
-- The deduplication window makes a repeated batch a no-op (see `ingest_batches`): it must
-- outlast the batches that other partitions write while one batch is being retried.
CREATE TABLE IF NOT EXISTS access_events
(
    topic                 LowCardinality(String),
    partition             Int32,
    record_offset         Int64 CODEC(Delta, LZ4),
    record_index          UInt32 CODEC(Delta, LZ4),
    time                  DateTime64(6, 'UTC') CODEC(Delta, LZ4),
    key_id                String CODEC(ZSTD(1)),
    client_ip             IPv6 CODEC(ZSTD(1)),
    client_address        String ALIAS replaceOne(toString(client_ip), '::ffff:', ''),
    method                LowCardinality(String),
    path                  String CODEC(ZSTD(1)),
    status                UInt16 CODEC(ZSTD(1)),
    request_id            String CODEC(ZSTD(1)),
    latency_ms            Nullable(Float32),
    bytes_in              Nullable(UInt64) CODEC(T64, LZ4),
    bytes_out             Nullable(UInt64) CODEC(T64, LZ4),
    user_agent            String CODEC(ZSTD(1)),
    environment           LowCardinality(String),
    scope                 LowCardinality(String),
    tenant                LowCardinality(String),
    nonce_fingerprint     UInt128,
    client_time           Nullable(DateTime64(6, 'UTC')) CODEC(Delta, LZ4),
    signature_fingerprint UInt128,
    country               LowCardinality(String),
    region                LowCardinality(String),
    city                  LowCardinality(String),
    latitude              Nullable(Float32),
    longitude             Nullable(Float32),
    asn                   UInt32 CODEC(ZSTD(1)),
    as_name               LowCardinality(String),
    INDEX client_ip_filter client_ip TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = MergeTree
PARTITION BY toDate(time)
ORDER BY (key_id, time)
TTL toDateTime(time) + INTERVAL 30 DAY
SETTINGS
    non_replicated_deduplication_window = 10000,
    ttl_only_drop_parts = 1,
    materialize_ttl_recalculate_only = 1;
