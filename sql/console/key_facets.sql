-- From where, with what and for what was a key used in the last days?
-- One scan of the key's requests; of a key with very many, the part that is read in time.
SELECT
    facet.1 AS kind,
    facet.2 AS name,
    count() AS requests,
    countIf(status >= 400) AS failed,
    toUnixTimestamp64Micro(min(time)) AS first,
    toUnixTimestamp64Micro(max(time)) AS last
FROM access_events
ARRAY JOIN
    [
        ('place', if(country = '', '', if(city = '', toString(country), concat(city, ', ', country)))),
        ('network', if(asn = 0, '', concat('AS', toString(asn), ' ', as_name))),
        ('address', client_address),
        ('client', user_agent),
        ('route', concat(method, ' ', path)),
        ('answer', toString(status))
    ] AS facet
WHERE key_id = {key:String} AND time >= now64(6) - toIntervalDay({days:UInt32})
GROUP BY kind, name
ORDER BY kind, requests DESC, name
LIMIT 8 BY kind
SETTINGS max_execution_time = 2, timeout_overflow_mode = 'break',
    max_rows_to_read = 3000000, read_overflow_mode = 'break',
    max_rows_to_group_by = 300000, group_by_overflow_mode = 'any'
