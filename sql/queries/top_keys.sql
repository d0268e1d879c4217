-- Which keys were used most?
-- hours UInt32 = 1
-- limit UInt32 = 20
SELECT
    key_id,
    sum(requests) AS requests,
    round(100 * sum(status_4xx + status_5xx) / sum(requests), 1) AS error_percent,
    sum(unauthorized) AS unauthorized,
    sum(throttled) AS throttled,
    uniqCombinedMerge(12)(ips) AS addresses,
    uniqCombinedMerge(12)(countries) AS countries,
    uniqCombinedMerge(12)(asns) AS networks
FROM key_usage_minute
WHERE minute >= now() - toIntervalHour({hours:UInt32})
GROUP BY key_id
ORDER BY sum(key_usage_minute.requests) DESC, key_id
LIMIT {limit:UInt32}
