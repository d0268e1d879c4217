-- Where is an address or network, with which clients did it call, and what was it answered?
-- `number` is that of the autonomous system, of networks alone.
SELECT
    facet.1 AS kind,
    facet.2 AS name,
    facet.3 AS number,
    count() AS requests,
    countIf(status >= 400) AS failed,
    toUnixTimestamp64Micro(min(time)) AS first,
    toUnixTimestamp64Micro(max(time)) AS last
FROM access_events
ARRAY JOIN
    [
        ('place', if(country = '', '', if(city = '', toString(country), concat(city, ', ', country))), 0),
        ('network', toString(as_name), asn),
        ('address', client_address, 0),
        ('client', user_agent, 0),
        ('route', concat(method, ' ', path), 0),
        ('answer', toString(status), 0)
    ] AS facet
WHERE ({first:String} != {last:String} OR client_ip = toIPv6({first:String}))
    AND client_ip BETWEEN toIPv6({first:String}) AND toIPv6({last:String})
    AND time >= now64(6) - toIntervalHour({hours:UInt32})
GROUP BY kind, name, number
ORDER BY kind, requests DESC, name
LIMIT 8 BY kind
SETTINGS max_execution_time = 2, max_rows_to_read = 30000000, max_rows_to_group_by = 3000000
