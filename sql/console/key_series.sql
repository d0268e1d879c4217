-- How many requests did a key make, in steps of `width` seconds?
SELECT intDiv(toUnixTimestamp(minute), {width:UInt32}) * {width:UInt32} AS start, sum(requests) AS requests
FROM key_usage_minute
WHERE key_id = {key:String}
    AND minute >= toDateTime({from:UInt32}, 'UTC') AND minute < toDateTime({to:UInt32}, 'UTC')
GROUP BY start
ORDER BY start
LIMIT 20000
SETTINGS max_execution_time = 3, max_rows_to_read = 5000000
