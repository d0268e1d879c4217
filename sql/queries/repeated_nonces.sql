-- Which nonces were used by several requests of one key?
-- days UInt32 = 7
-- limit UInt32 = 100
-- Nonces are stored as keyed hashes; a retry of a client repeats its nonce from the same address.
SELECT
    key_id,
    hex(nonce_fingerprint) AS nonce,
    uniqExact(topic, partition, record_offset, record_index) AS requests,
    countIf(status BETWEEN 200 AND 399) AS accepted,
    arraySort(groupUniqArray(5)(client_address)) AS addresses,
    min(time) AS first_seen,
    max(time) AS last_seen
FROM access_events
WHERE nonce_fingerprint != 0 AND time >= now() - toIntervalDay({days:UInt32})
GROUP BY key_id, nonce_fingerprint
HAVING requests > 1
ORDER BY length(addresses) DESC, accepted DESC, first_seen, key_id, nonce
LIMIT {limit:UInt32}
