-- Which valid keys never expire?
-- limit UInt32 = 100
SELECT key_id, owner, environment, class, toDate(created_at) AS created, length(scopes) AS granted_scopes
FROM api_keys
WHERE lifecycle IN ('active', 'rotating') AND expires_at IS NULL AND NOT is_canary
ORDER BY created_at, key_id
LIMIT {limit:UInt32}
