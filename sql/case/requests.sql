-- The requests around an incident, in the format `keywatch`. Nonces and signatures are their
-- fingerprints: equal ones stay equal, and nothing can be sent again with them.
-- key String =
-- network String =
-- since Int64 = 0
-- until Int64 = 0
SELECT
    time,
    key_id,
    client_address AS client_ip,
    method,
    path,
    status,
    nullIf(request_id, '') AS request_id,
    latency_ms,
    bytes_in,
    bytes_out,
    nullIf(user_agent, '') AS user_agent,
    nullIf(toString(environment), '') AS environment,
    nullIf(toString(scope), '') AS scope,
    nullIf(toString(tenant), '') AS tenant,
    if(nonce_fingerprint = 0, NULL, lower(hex(nonce_fingerprint))) AS nonce,
    client_time,
    if(signature_fingerprint = 0, NULL, lower(hex(signature_fingerprint))) AS signature,
    authenticated,
    validity_ms,
    nullIf(toString(client_fingerprint), '') AS client_fingerprint,
    nullIf(toString(auth_method), '') AS auth_method,
    has_secret AS keywatch_has_secret
FROM access_events
WHERE ({key:String} = '' OR key_id = {key:String})
    AND ({network:String} = '' OR isIPAddressInRange(client_address, {network:String}))
    AND access_events.time >= fromUnixTimestamp64Micro({since:Int64})
    AND access_events.time <= fromUnixTimestamp64Micro({until:Int64})
    AND quarantined = ''
ORDER BY access_events.time, topic, partition, record_offset, record_index
SETTINGS date_time_output_format = 'iso'
