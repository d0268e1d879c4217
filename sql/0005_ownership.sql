-- Who may write a partition. Every ownership registers here, with an epoch above all that are
-- registered, before it reads what is stored; a writer that finds a newer row steps back.
-- `topic_id` tells a topic from one that was deleted and made again under its name: Kafka's
-- topic ID, empty where the source has none.
-- Never deleted, a row an ownership: an epoch that was forgotten would be given out again.
CREATE TABLE IF NOT EXISTS partition_owners
(
    topic     LowCardinality(String),
    topic_id  String,
    partition Int32,
    epoch     UInt64,
    owner     String,
    time      DateTime64(6, 'UTC')
)
ENGINE = MergeTree
ORDER BY (topic, partition, topic_id, epoch);

-- Rows from before have an empty `topic_id` and the epoch 0.
-- `log_end` is where the log ended when the batch was stored, as far as that was known: "is
-- everything in?" compares it with `last_offset`.
ALTER TABLE ingest_batches
    ADD COLUMN IF NOT EXISTS topic_id LowCardinality(String) AFTER partition,
    ADD COLUMN IF NOT EXISTS epoch UInt64 AFTER token,
    ADD COLUMN IF NOT EXISTS owner LowCardinality(String) AFTER epoch,
    ADD COLUMN IF NOT EXISTS log_end Nullable(Int64) AFTER owner;

-- Why an event was stored and not judged: `future_time` or `very_late`; else empty.
ALTER TABLE access_events
    ADD COLUMN IF NOT EXISTS quarantined LowCardinality(String) AFTER as_name;
