-- How many events were stored, minute by minute of the last hour, by all processes?
-- `recent`: those of the last ten seconds.
SELECT
    toUnixTimestamp(toStartOfMinute(time)) AS minute,
    sum(ingest_batches.events) AS events,
    sum(ingest_batches.rejections) AS rejections,
    sumIf(ingest_batches.events, time >= now64(6) - INTERVAL 10 SECOND) AS recent
FROM ingest_batches
WHERE state = 'done' AND time >= now64(6) - INTERVAL 1 HOUR
GROUP BY minute
ORDER BY minute
SETTINGS max_execution_time = 3
