-- Which keys received far more bytes in a day than on their usual day?
-- days UInt32 = 30
-- factor Float64 = 10
-- limit UInt32 = 50
SELECT
    key_id,
    day,
    bytes,
    requests,
    usual_bytes,
    round(bytes / usual_bytes, 1) AS times_usual
FROM
(
    SELECT
        key_id,
        toDate(hour) AS day,
        sum(usage.bytes_out) AS bytes,
        sum(usage.requests) AS requests,
        -- The median over the days of use.
        quantileExactLow(0.5)(bytes) OVER (PARTITION BY key_id) AS usual_bytes,
        count() OVER (PARTITION BY key_id) AS days_used
    FROM key_usage_hour AS usage
    WHERE hour >= now() - toIntervalDay({days:UInt32})
    GROUP BY key_id, day
)
WHERE days_used >= 3 AND usual_bytes > 0 AND bytes >= {factor:Float64} * usual_bytes
ORDER BY bytes DESC, key_id, day
LIMIT {limit:UInt32}
