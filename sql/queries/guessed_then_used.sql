-- Which keys were accepted from an address that was refused with other keys before?
-- days UInt32 = 7
-- keys UInt32 = 3
SELECT
    accepted.key_id AS key_id,
    client_address AS address,
    tried.keys_refused AS keys_refused,
    min(accepted.time) AS first_accepted,
    count() AS requests
FROM access_events AS accepted
INNER JOIN
(
    SELECT client_ip, uniqExact(key_id) AS keys_refused, groupUniqArray(1000)(key_id) AS refused, min(time) AS since
    FROM access_events
    WHERE status IN (401, 403) AND time >= now() - toIntervalDay({days:UInt32})
    GROUP BY client_ip
    HAVING keys_refused >= {keys:UInt32}
) AS tried ON tried.client_ip = accepted.client_ip
WHERE accepted.status BETWEEN 200 AND 399 AND accepted.time >= tried.since
GROUP BY key_id, address, keys_refused
ORDER BY keys_refused DESC, first_accepted, key_id, address
