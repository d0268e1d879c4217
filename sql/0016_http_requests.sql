-- Requests to `POST /v1/events` that carry an Idempotency-Key, so that a repeated one is not stored
-- twice. A row is written with the batch of its events, before them: a request without a row has
-- stored nothing. The ledger tells whether the batch is complete; where it is not, the rows of the
-- offsets tell what is stored.
CREATE TABLE IF NOT EXISTS http_requests
(
    key          String COMMENT 'a hash of the name of the token and of the Idempotency-Key' CODEC(ZSTD(1)),
    body         String COMMENT 'a hash of the events' CODEC(ZSTD(1)),
    topic_id     LowCardinality(String),
    owner        LowCardinality(String) COMMENT 'the process',
    first_offset Int64 CODEC(Delta, LZ4),
    last_offset  Int64 CODEC(Delta, LZ4),
    time         DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = MergeTree
PARTITION BY toDate(time)
ORDER BY key
TTL toDateTime(time) + INTERVAL 2 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;
