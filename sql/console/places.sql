-- From where was a key used around an incident? The two addresses of a journey come first.
SELECT
    client_address AS address,
    any(country) AS country,
    any(city) AS city,
    any(as_name) AS network,
    any(asn) AS asn,
    anyLast(latitude) AS latitude,
    anyLast(longitude) AS longitude,
    count() AS requests,
    countIf(status >= 400) AS failed,
    toUnixTimestamp64Micro(min(time)) AS first,
    toUnixTimestamp64Micro(max(time)) AS last
FROM access_events
WHERE key_id = {key:String}
    AND time >= fromUnixTimestamp64Micro({from:Int64}) AND time <= fromUnixTimestamp64Micro({to:Int64})
GROUP BY address
ORDER BY address IN ({first_ip:String}, {second_ip:String}) DESC, requests DESC, address
LIMIT 12
SETTINGS max_execution_time = 3, timeout_overflow_mode = 'break',
    max_rows_to_read = 5000000, read_overflow_mode = 'break'
