-- With which programs and TLS fingerprints was a key used?
-- key_id String =
-- days UInt32 = 14
SELECT
    if(user_agent = '', 'unknown', user_agent) AS client,
    client_fingerprint,
    count() AS requests,
    uniqExact(client_ip) AS addresses,
    min(time) AS first_seen,
    max(time) AS last_seen
FROM access_events
WHERE key_id = {key_id:String} AND time >= now() - toIntervalDay({days:UInt32})
GROUP BY client, client_fingerprint
ORDER BY requests DESC, client, client_fingerprint
