-- How many requests came from an address or network, hour by hour?
-- `first` and `last` are the ends of the range. IPv6 is counted by /64.
SELECT
    toUnixTimestamp(hour) AS start,
    sum(usage.requests) AS requests,
    sum(usage.accepted) AS accepted,
    sum(usage.refused) AS refused,
    toInt64(toUnixTimestamp(min(usage.first_seen))) * 1000000 AS first,
    toInt64(toUnixTimestamp(max(usage.last_seen))) * 1000000 AS last
FROM source_usage_hour AS usage
WHERE source BETWEEN toIPv6({first:String}) AND toIPv6({last:String})
    AND hour >= toStartOfHour(now('UTC')) - toIntervalHour({hours:UInt32})
GROUP BY hour
ORDER BY hour
SETTINGS max_execution_time = 2, max_rows_to_read = 100000000
