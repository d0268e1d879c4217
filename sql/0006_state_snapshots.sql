-- What the engine remembers, so that a restart goes on where it stopped.
--
-- A generation of rounds begins with one that holds everything; each later round holds what
-- changed. A round is valid when it has a row in `state_rounds`, which is written last: chunks
-- without it are left over from a crash, and nobody reads them. Generations are never merged
-- or replaced in place: an older one stays until a newer one is complete, and is then dropped
-- as a whole, which is why each is a partition.
--
-- Chunks are compressed (zstd) before they come here: no codec, and few rows.
CREATE TABLE IF NOT EXISTS state_chunks
(
    scope       LowCardinality(String) COMMENT 'source kind, and consumer group if there is one',
    shard       LowCardinality(String),
    generation  UInt64 COMMENT 'microseconds of the wall clock at its beginning',
    round       UInt32,
    chunk       UInt32,
    kind        LowCardinality(String),
    entries     UInt32,
    size        UInt64 COMMENT 'before compression',
    writer      LowCardinality(String),
    written_at  DateTime64(6, 'UTC'),
    data        String CODEC(NONE)
)
ENGINE = MergeTree
PARTITION BY (scope, shard, generation)
ORDER BY (scope, shard, generation, round, chunk)
SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 16;

-- `epoch` is the ownership under which the round was written: a newer owner's rounds win
-- whatever the clocks say.
CREATE TABLE IF NOT EXISTS state_rounds
(
    scope       LowCardinality(String),
    shard       LowCardinality(String),
    epoch       UInt64,
    generation  UInt64,
    round       UInt32,
    format      UInt16 COMMENT 'of the bytes in the chunks',
    chunks      UInt32 COMMENT 'of this round',
    topics      Array(String),
    partitions  Array(Int32),
    offsets     Array(Int64) COMMENT 'the last one of each partition that the state includes',
    writer      LowCardinality(String),
    written_at  DateTime64(6, 'UTC')
)
ENGINE = MergeTree
PARTITION BY (scope, shard, generation)
ORDER BY (scope, shard, generation, round)
SETTINGS non_replicated_deduplication_window = 1000;
