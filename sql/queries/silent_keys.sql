-- Which keys were used daily and have been silent since?
-- days UInt32 = 30
-- silent_hours UInt32 = 48
-- limit UInt32 = 100
SELECT
    key_id,
    max(hour) AS last_used,
    uniqExact(toDate(hour)) AS days_used,
    sum(usage.requests) AS requests
FROM key_usage_hour AS usage
WHERE hour >= now() - toIntervalDay({days:UInt32})
GROUP BY key_id
-- Used on two days of three until the last one.
HAVING last_used < now() - toIntervalHour({silent_hours:UInt32})
    AND days_used >= 3
    AND days_used * 3 >= 2 * (dateDiff('day', min(hour), last_used) + 1)
ORDER BY requests DESC, key_id
LIMIT {limit:UInt32}
