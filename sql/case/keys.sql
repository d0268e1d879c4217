-- What is registered now about the keys of these requests.
-- key String =
-- network String =
-- since Int64 = 0
-- until Int64 = 0
SELECT
    key_id, owner, tenant, environment, class, tags, scopes, allowed_cidrs, created_at, expires_at,
    revoked_at, nullIf(rotated_to, '') AS rotated_to, grace_ends_at,
    if(status = '', 'active', toString(status)) AS status, canary
FROM api_keys
WHERE key_id IN (
    SELECT key_id FROM access_events
    WHERE ({key:String} = '' OR key_id = {key:String})
        AND ({network:String} = '' OR isIPAddressInRange(client_address, {network:String}))
        AND time >= fromUnixTimestamp64Micro({since:Int64})
        AND time <= fromUnixTimestamp64Micro({until:Int64}))
ORDER BY key_id
SETTINGS date_time_output_format = 'iso'
