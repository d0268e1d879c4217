-- From which addresses was a key used, and how were they answered?
-- key_id String =
-- days UInt32 = 7
-- limit UInt32 = 100
SELECT
    client_address AS address,
    any(asn) AS asn,
    any(as_name) AS network,
    any(country) AS country,
    count() AS requests,
    countIf(status BETWEEN 200 AND 399) AS accepted,
    countIf(status IN (401, 403)) AS refused,
    min(time) AS first_seen,
    max(time) AS last_seen
FROM access_events
WHERE key_id = {key_id:String} AND time >= now() - toIntervalDay({days:UInt32})
GROUP BY address
ORDER BY requests DESC, address
LIMIT {limit:UInt32}
