-- How far the Kafka topic of the key registry is stored. A row counts with the change that it belongs
-- to (`key_changes`), so that registrations and their offsets are stored together, or not at all: a
-- process that was paused stores nothing that another one has stored since. A row without a change
-- is about records that changed nothing, and counts at once.
CREATE TABLE IF NOT EXISTS key_feed_rows
(
    change      String,
    topic       LowCardinality(String),
    topic_id    LowCardinality(String) COMMENT 'differs for a topic that was made again',
    partition   Int32,
    last_offset Int64
)
ENGINE = MergeTree
ORDER BY (topic, topic_id, partition, last_offset)
SETTINGS non_replicated_deduplication_window = 10000;
