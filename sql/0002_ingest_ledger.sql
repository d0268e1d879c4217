-- The completeness ledger: an `intent` row before a batch is written, a `done` row after.
-- An intent without its done row is a batch in doubt, which is cut to the same bounds and
-- written again; its token (topic, partition, offsets) makes the repetition a no-op.
-- Sorted so that the last batch of a partition is read from the end of one range.
-- Kept longer than raw events, so that their completeness can always be shown.
CREATE TABLE IF NOT EXISTS ingest_batches
(
    topic          LowCardinality(String),
    partition      Int32,
    first_offset   Int64 CODEC(Delta, LZ4),
    last_offset    Int64 CODEC(Delta, LZ4),
    state          LowCardinality(String),
    schema_version UInt32,
    events         UInt64,
    rejections     UInt64,
    alerts         UInt64,
    token          String CODEC(ZSTD(1)),
    time           DateTime64(6, 'UTC') CODEC(Delta, LZ4)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (topic, partition, first_offset)
TTL toDateTime(time) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- What could not be decoded, with its reason and place in the log. Payloads are masked
-- before they come here. Thirty days are enough to find and mend a broken sender.
CREATE TABLE IF NOT EXISTS rejected_events
(
    topic          LowCardinality(String),
    partition      Int32,
    record_offset  Int64,
    record_index   UInt32,
    reason         LowCardinality(String),
    detail         String CODEC(ZSTD(1)),
    masked_payload String CODEC(ZSTD(1)),
    rejected_at    DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = MergeTree
PARTITION BY toDate(rejected_at)
ORDER BY (reason, rejected_at)
TTL toDateTime(rejected_at) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;
