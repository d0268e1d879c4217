-- What became of the key after the first request of an incident, as far as Keywatch was told?
SELECT toString(kind) AS kind, toUnixTimestamp64Micro(key_events.time) AS at,
    if(origin = 'webhook', 'the receiver''s answer', recorded_by) AS told_by
FROM key_events
WHERE kind IN ('suspended', 'revoked', 'rotated')
    AND key_id IN (SELECT key_id FROM revocation_requests WHERE incident = {id:String})
    AND key_events.time >= (
        SELECT min(revocation_requests.time) FROM revocation_requests WHERE incident = {id:String}
    ) - INTERVAL 1 MINUTE
ORDER BY key_events.time
LIMIT 1
SETTINGS max_execution_time = 3, max_rows_to_read = 50000000
