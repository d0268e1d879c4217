-- Which keys were used most?
-- hours UInt32 = 1
-- limit UInt32 = 20
SELECT
    key_id,
    sum(usage.requests) AS requests,
    round(100 * sum(usage.status_4xx + usage.status_5xx) / requests, 1) AS error_percent,
    sum(usage.unauthorized) AS unauthorized,
    sum(usage.throttled) AS throttled,
    uniqCombinedMerge(12)(ips) AS addresses,
    uniqCombinedMerge(12)(countries) AS countries,
    uniqCombinedMerge(12)(asns) AS networks
FROM key_usage_minute AS usage
WHERE minute >= now() - toIntervalHour({hours:UInt32})
GROUP BY key_id
ORDER BY requests DESC, key_id
LIMIT {limit:UInt32}
