-- Which keys are valid and were not used for long?
-- days UInt32 = 90
-- limit UInt32 = 100
-- A key that was created within these days is not counted, and neither is a canary.
SELECT
    keys.key_id AS key_id,
    owner,
    environment,
    toDate(created_at) AS created,
    toDate(usage.last_used) AS last_used,
    if(usage.last_used IS NULL, NULL, age('day', usage.last_used, now())) AS silent_days
FROM api_keys AS keys
LEFT JOIN
(
    SELECT key_id, toNullable(max(hour)) AS last_used FROM key_usage_hour GROUP BY key_id
) AS usage ON usage.key_id = keys.key_id
WHERE lifecycle IN ('active', 'rotating') AND NOT is_canary
    AND ifNull(created_at < now64(6) - toIntervalDay({days:UInt32}), true)
    AND ifNull(usage.last_used < now() - toIntervalDay({days:UInt32}), true)
ORDER BY isNull(usage.last_used) DESC, usage.last_used, key_id
LIMIT {limit:UInt32}
