-- Which keys are registered, in which state are they, and when was each last used?
-- key String =
-- owner String =
-- tenant String =
-- environment String =
-- class String =
-- tag String =
-- status String =
-- expires_within_days UInt32 = 0
-- leaked UInt8 = 0
-- canary UInt8 = 0
-- limit UInt32 = 50
-- `key` is the beginning of an id. Empty values and 0 select all. `matching` counts those beyond the
-- limit too. Keys of a registry file are not here.
SELECT
    keys.key_id AS key_id,
    lifecycle,
    owner,
    tenant,
    environment,
    class,
    tags,
    scopes,
    formatDateTime(expires_at, '%Y-%m-%dT%H:%i:%SZ') AS expires_at,
    rotated_to,
    is_canary,
    formatDateTime(leaks.leaked_at, '%Y-%m-%dT%H:%i:%SZ') AS leaked_at,
    formatDateTime(usage.last_used, '%Y-%m-%dT%H:%i:%SZ') AS last_used,
    matching
FROM
(
    SELECT *, count() OVER () AS matching
    FROM api_keys
    WHERE startsWith(key_id, {key:String})
        AND ({owner:String} = '' OR owner = {owner:String})
        AND ({tenant:String} = '' OR tenant = {tenant:String})
        AND ({environment:String} = '' OR environment = {environment:String})
        AND ({class:String} = '' OR class = {class:String})
        AND ({tag:String} = '' OR has(tags, {tag:String}))
        AND ({status:String} = '' OR status = {status:String})
        AND ({expires_within_days:UInt32} = 0 OR (expires_at > now64(6)
            AND expires_at < now64(6) + toIntervalDay({expires_within_days:UInt32})))
        AND ({canary:UInt8} = 0 OR is_canary)
        AND ({leaked:UInt8} = 0 OR key_id IN (SELECT key_id FROM key_events WHERE kind = 'leaked'))
    ORDER BY key_id
    LIMIT {limit:UInt32}
) AS keys
LEFT JOIN
(
    SELECT key_id, toNullable(max(time)) AS leaked_at
    FROM key_events
    WHERE kind = 'leaked'
    GROUP BY key_id
) AS leaks ON leaks.key_id = keys.key_id
LEFT JOIN
(
    SELECT key_id, toNullable(max(hour)) AS last_used
    FROM key_usage_hour
    GROUP BY key_id
) AS usage ON usage.key_id = keys.key_id
ORDER BY key_id
