-- How much was a key used, hour by hour of the last days?
SELECT
    toUnixTimestamp(hour) AS start,
    sum(usage.requests) AS requests,
    sum(usage.status_4xx + usage.status_5xx) AS failed
FROM key_usage_hour AS usage
WHERE key_id = {key:String} AND hour >= toStartOfDay(now('UTC')) - toIntervalDay({days:UInt32} - 1)
GROUP BY hour
ORDER BY hour
SETTINGS max_execution_time = 3, max_rows_to_read = 5000000
