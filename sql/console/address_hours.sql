-- How many requests came from an IPv6 address, or from a network that is smaller than a /64, hour by hour?
-- The raw rows know: requests are counted by /64.
SELECT
    toUnixTimestamp(toStartOfHour(time)) AS start,
    count() AS requests,
    countIf(ifNull(authenticated, status BETWEEN 200 AND 399)) AS accepted,
    countIf(status IN (401, 403)) AS refused,
    toUnixTimestamp64Micro(min(time)) AS first,
    toUnixTimestamp64Micro(max(time)) AS last
FROM access_events
WHERE ({first:String} != {last:String} OR client_ip = toIPv6({first:String}))
    AND client_ip BETWEEN toIPv6({first:String}) AND toIPv6({last:String})
    AND time >= now64(6) - toIntervalHour({hours:UInt32})
GROUP BY start
ORDER BY start
SETTINGS max_execution_time = 2, max_rows_to_read = 30000000
