-- How far is each partition stored, as its last batch knew?
SELECT
    count() AS partitions,
    countIf(waiting > 0) AS late_partitions,
    sum(waiting) AS behind,
    toUnixTimestamp64Micro(max(stored)) AS newest,
    toUnixTimestamp64Micro(minIf(stored, waiting > 0)) AS oldest_late
FROM
(
    SELECT
        max(time) AS stored,
        argMax(greatest(ifNull(log_end, last_offset + 1) - last_offset - 1, 0), last_offset) AS waiting
    FROM ingest_batches
    WHERE state = 'done' AND time >= now64(6) - INTERVAL 1 DAY
    GROUP BY topic, topic_id, partition
)
SETTINGS max_execution_time = 3
