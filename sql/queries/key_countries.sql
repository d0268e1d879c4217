-- From which countries was a key used, day by day?
-- key_id String =
-- days UInt32 = 14
SELECT
    toDate(time) AS day,
    if(country = '', 'unknown', country) AS place,
    count() AS requests,
    uniq(client_ip) AS addresses,
    min(time) AS first_seen,
    max(time) AS last_seen
FROM access_events
WHERE key_id = {key_id:String} AND time >= now() - toIntervalDay({days:UInt32})
GROUP BY day, place
ORDER BY day, requests DESC, place
