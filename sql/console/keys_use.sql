-- How many requests named each of these keys in the last hours, from anywhere?
-- `keys` is a JSON array.
SELECT key_id AS key, sum(usage.requests) AS requests
FROM key_usage_hour AS usage
WHERE key_id IN (SELECT arrayJoin(JSONExtract({keys:String}, 'Array(String)')))
    AND hour >= toStartOfHour(now()) - toIntervalHour({hours:UInt32})
GROUP BY key
SETTINGS max_execution_time = 2, max_rows_to_read = 5000000
