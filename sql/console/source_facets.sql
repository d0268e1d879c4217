-- With which clients did an address or network call, for what, and what was it answered?
-- `first` and `last` are the ends of the range; they are equal for a single address, which the index
-- of addresses finds. The rows are sorted by key: those of other keys than the source named are not
-- read. Where `is_whole` is false, the source is a part of what is counted, and all keys are read.
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
        ('address', client_address),
        ('client', user_agent),
        ('route', concat(method, ' ', path)),
        ('answer', toString(status))
    ] AS facet
WHERE ({first:String} != {last:String} OR client_ip = toIPv6({first:String}))
    AND client_ip BETWEEN toIPv6({first:String}) AND toIPv6({last:String})
    AND (NOT {is_whole:Bool} OR key_id IN (
        SELECT key_id FROM source_usage_hour
        WHERE source BETWEEN toIPv6({first:String}) AND toIPv6({last:String})
            AND hour >= toStartOfHour(now('UTC')) - toIntervalHour({hours:UInt32})))
    AND time >= now64(6) - toIntervalHour({hours:UInt32})
GROUP BY kind, name
ORDER BY kind, requests DESC, name
LIMIT 8 BY kind
SETTINGS max_execution_time = 1, max_rows_to_read = 30000000, max_rows_to_group_by = 3000000
