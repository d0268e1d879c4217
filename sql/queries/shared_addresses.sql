-- Which addresses used several keys?
-- hours UInt32 = 24
-- keys UInt32 = 2
-- limit UInt32 = 20
SELECT
    client_address AS address,
    uniqExact(key_id) AS keys_used,
    arraySort(groupUniqArray(10)(key_id)) AS some_keys,
    count() AS requests,
    round(100 * countIf(status IN (401, 403)) / requests, 1) AS refused_percent
FROM access_events
WHERE time >= now() - toIntervalHour({hours:UInt32})
GROUP BY address
HAVING keys_used >= {keys:UInt32}
ORDER BY keys_used DESC, requests DESC, address
LIMIT {limit:UInt32}
