-- Every revision of every alert: what is worth filtering by as columns, the whole as JSON.
-- Ids are deterministic, so the same revision written twice is the same row: Replacing
-- folds it, and readers say FINAL. No TTL: this is the audit trail, and it is small.
CREATE TABLE IF NOT EXISTS alerts
(
    id                  String,
    revision            UInt32,
    type                LowCardinality(String),
    key_id              String,
    source_ip           Nullable(IPv6),
    tenant              LowCardinality(String),
    severity            LowCardinality(String),
    risk                Float64,
    confidence          Float64,
    action              LowCardinality(String),
    dry_run             Bool,
    title               String,
    explanation         String CODEC(ZSTD(3)),
    detectors           Array(LowCardinality(String)),
    first_event_time    DateTime64(6, 'UTC'),
    last_event_time     DateTime64(6, 'UTC'),
    detected_event_time DateTime64(6, 'UTC'),
    detected_at         DateTime64(6, 'UTC'),
    topic               LowCardinality(String),
    partition           Int32,
    first_offset        Int64,
    last_offset         Int64,
    policy_version      LowCardinality(String),
    model_version       LowCardinality(String),
    alert               String CODEC(ZSTD(3)),
    INDEX key_id_filter key_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX detected_at_range detected_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
ORDER BY (id, revision)
SETTINGS non_replicated_deduplication_window = 10000;

-- Every attempt to deliver a revision on a channel. The row of an attempt may be written
-- twice after a lost answer: Replacing folds it.
CREATE TABLE IF NOT EXISTS deliveries
(
    alert_id   String,
    revision   UInt32,
    channel    LowCardinality(String),
    attempt    UInt32,
    outcome    LowCardinality(String),
    detail     String CODEC(ZSTD(1)),
    time       DateTime64(6, 'UTC'),
    webhook_id String
)
ENGINE = ReplacingMergeTree
ORDER BY (channel, alert_id, revision, attempt);
