-- How much was a key used, hour by hour?
-- key_id String =
-- days UInt32 = 7
SELECT
    hour,
    requests,
    status_4xx + status_5xx AS failed,
    throttled,
    bytes_out,
    round(latency_ms[2], 1) AS p95_ms,
    addresses,
    networks,
    routes
FROM key_usage_1h
WHERE key_id = {key_id:String} AND hour >= now() - toIntervalDay({days:UInt32})
ORDER BY hour
