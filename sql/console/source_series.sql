-- How many requests came from an address, in steps of `width` seconds?
SELECT intDiv(toUnixTimestamp(time), {width:UInt32}) * {width:UInt32} AS start, count() AS requests
FROM access_events
WHERE client_ip = toIPv6({ip:String})
    AND time >= toDateTime({from:UInt32}, 'UTC') AND time < toDateTime({to:UInt32}, 'UTC')
GROUP BY start
ORDER BY start
LIMIT 20000
SETTINGS max_execution_time = 3, timeout_overflow_mode = 'break'
