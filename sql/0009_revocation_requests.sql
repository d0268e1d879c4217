-- Revocations that were requested, over all processes: the budget of an hour is counted here.
-- A process writes the row with the number after the last one, under a deduplication token made
-- of that number. Of two processes that write the same number ClickHouse keeps the first row, so
-- that each row was decided on in the knowledge of all rows before it.
--
-- `alert` is the request as JSON: a process that dies before it is in the table `alerts` leaves
-- all that another one needs. `time` is the server's, one clock for the installation.
-- No TTL: this is the audit trail, and it is small.
CREATE TABLE IF NOT EXISTS revocation_requests
(
    number   UInt64,
    incident String,
    revision UInt32,
    key_id   String,
    owner    LowCardinality(String) COMMENT 'the process',
    alert    String CODEC(ZSTD(3)),
    time     DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = MergeTree
ORDER BY number
SETTINGS non_replicated_deduplication_window = 10000;
