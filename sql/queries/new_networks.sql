-- Which keys were used from a network (AS) they had not been used from before?
-- hours UInt32 = 24
-- days UInt32 = 30
SELECT
    key_id,
    asn,
    any(as_name) AS network,
    min(time) AS first_seen,
    count() AS requests,
    uniq(client_ip) AS addresses,
    arraySort(groupUniqArray(10)(toString(country))) AS countries
FROM access_events
WHERE asn != 0 AND time >= now() - toIntervalDay({days:UInt32})
GROUP BY key_id, asn
HAVING first_seen >= now() - toIntervalHour({hours:UInt32})
    -- A key that is itself new has no network it was used from before.
    AND key_id IN (
        SELECT key_id FROM access_events
        WHERE asn != 0
            AND time >= now() - toIntervalDay({days:UInt32})
            AND time < now() - toIntervalHour({hours:UInt32}))
ORDER BY first_seen, key_id, asn
