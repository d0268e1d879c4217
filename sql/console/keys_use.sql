-- How many requests with each of these keys were answered in the last hours, from anywhere? Requests
-- that only name a key say nothing about its use.
-- `keys` is a JSON array.
SELECT key_id AS key, sum(usage.status_2xx + usage.status_3xx) AS accepted
FROM key_usage_hour AS usage
WHERE key_id IN (SELECT arrayJoin(JSONExtract({keys:String}, 'Array(String)')))
    AND hour >= toStartOfHour(now()) - toIntervalHour({hours:UInt32})
GROUP BY key
SETTINGS max_execution_time = 2, max_rows_to_read = 5000000
