-- What else is stored of the two requests of a replay?
SELECT
    toUnixTimestamp64Micro(time) AS at,
    record_offset,
    method,
    path,
    user_agent,
    country,
    city,
    as_name AS network,
    request_id,
    toUnixTimestamp64Micro(client_time) AS signed_at
FROM access_events
WHERE key_id = {key:String}
    AND (time = fromUnixTimestamp64Micro({first:Int64}) OR time = fromUnixTimestamp64Micro({second:Int64}))
ORDER BY time
LIMIT 20
SETTINGS max_execution_time = 3, timeout_overflow_mode = 'break',
    max_rows_to_read = 5000000, read_overflow_mode = 'break'
