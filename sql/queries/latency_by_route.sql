-- How long do requests take, route by route?
-- hours UInt32 = 1
-- limit UInt32 = 20
SELECT
    method,
    path,
    count() AS requests,
    round(quantileTDigest(0.5)(latency_ms), 1) AS p50_ms,
    round(quantileTDigest(0.95)(latency_ms), 1) AS p95_ms,
    round(quantileTDigest(0.99)(latency_ms), 1) AS p99_ms
FROM access_events
WHERE time >= now() - toIntervalHour({hours:UInt32}) AND latency_ms IS NOT NULL
GROUP BY method, path
ORDER BY p95_ms DESC, method, path
LIMIT {limit:UInt32}
