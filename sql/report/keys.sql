-- Keys issued, rotated, suspended, revoked, leaked and overdue, by environment.
-- since Int64 = 0
-- until Int64 = 0
-- rotate_every_days UInt32 = 90
WITH
    fromUnixTimestamp64Micro({since:Int64}) AS since,
    fromUnixTimestamp64Micro({until:Int64}) AS until
SELECT
    multiIf(NOT is_registered, 'not registered', environment_name = '', 'none', environment_name) AS environment,
    countIf(is_issued) AS issued,
    countIf(is_rotated) AS rotated,
    countIf(is_suspended) AS suspended,
    countIf(is_revoked) AS revoked,
    countIf(is_leaked) AS leaked,
    countIf(is_overdue) AS overdue
FROM
(
    SELECT
        key_id,
        max(registered) AS is_registered,
        max(of_environment) AS environment_name,
        max(kind = 'issued' OR ifNull(created_at >= since AND created_at < until, false)) AS is_issued,
        max(kind = 'rotated') AS is_rotated,
        max(kind = 'suspended') AS is_suspended,
        max(kind = 'revoked' OR ifNull(revoked_at >= since AND revoked_at < until, false)) AS is_revoked,
        max(kind = 'leaked') AS is_leaked,
        max(is_active AND ifNull(created_at < least(until, now64(6)) - toIntervalDay({rotate_every_days:UInt32}), false))
            AS is_overdue
    FROM
    (
        SELECT key_id, true AS registered, toString(api_keys.environment) AS of_environment, '' AS kind, created_at,
            revoked_at, lifecycle = 'active' AND NOT is_canary AS is_active
        FROM api_keys
        UNION ALL
        SELECT key_id, false, '', toString(kind), NULL, NULL, false
        FROM key_events
        WHERE key_events.time >= since AND key_events.time < until
    )
    GROUP BY key_id
)
GROUP BY environment
ORDER BY environment
