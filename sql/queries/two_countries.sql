-- Which keys were used from two countries within an hour?
-- days UInt32 = 1
-- limit UInt32 = 100
SELECT
    key_id,
    toStartOfHour(time) AS hour,
    arraySort(groupUniqArray(5)(toString(country))) AS countries,
    uniqExact(country) AS number,
    uniqExact(client_ip) AS addresses,
    count() AS requests
FROM access_events
WHERE country != '' AND status BETWEEN 200 AND 399 AND time >= now() - toIntervalDay({days:UInt32})
GROUP BY key_id, hour
HAVING number > 1
ORDER BY hour DESC, number DESC, key_id
LIMIT {limit:UInt32}
