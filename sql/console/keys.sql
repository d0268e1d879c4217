-- Which keys were used most within the last day?
SELECT
    key_id AS key,
    sum(usage.requests) AS requests,
    sum(usage.status_4xx + usage.status_5xx) AS failed,
    sum(usage.throttled) AS throttled,
    uniqCombinedMerge(12)(ips) AS addresses,
    uniqCombinedMerge(12)(countries) AS countries,
    uniqCombinedMerge(12)(asns) AS networks,
    toUnixTimestamp64Micro(toDateTime64(max(hour), 6, 'UTC')) AS last
FROM key_usage_hour AS usage
WHERE hour >= now() - INTERVAL 1 DAY
GROUP BY key
ORDER BY requests DESC, key
LIMIT 50
SETTINGS max_execution_time = 5, max_rows_to_read = 50000000
