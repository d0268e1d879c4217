-- Which keys did an address or network use, and which did it only name?
-- `first` and `last` are the ends of the range. IPv6 is counted by /64.
-- Too many rows are an error, so that no figure is a part of the truth: the caller asks for less.
SELECT
    key_id AS key,
    anyLast(usage.tenant) AS tenant,
    sum(usage.requests) AS requests,
    sum(usage.accepted) AS accepted,
    sum(usage.refused) AS refused,
    toInt64(toUnixTimestamp(min(usage.first_seen))) * 1000000 AS first,
    toInt64(toUnixTimestamp(max(usage.last_seen))) * 1000000 AS last,
    accepted > 0 AS is_used,
    count() OVER (PARTITION BY is_used) AS keys
FROM source_usage_hour AS usage
WHERE source BETWEEN toIPv6({first:String}) AND toIPv6({last:String})
    AND hour >= toStartOfHour(now('UTC')) - toIntervalHour({hours:UInt32})
GROUP BY key_id
ORDER BY is_used DESC, requests DESC, key
LIMIT 25 BY is_used
SETTINGS max_execution_time = 2, max_rows_to_read = 100000000, max_rows_to_group_by = 3000000
