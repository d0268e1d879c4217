-- Which events were stored but not judged, and why?
-- days UInt32 = 7
SELECT
    quarantined AS reason,
    topic,
    partition,
    count() AS events,
    uniqExact(key_id) AS keys_named,
    min(time) AS earliest,
    max(time) AS latest
FROM access_events
WHERE quarantined != '' AND time >= now() - toIntervalDay({days:UInt32})
GROUP BY reason, topic, partition
ORDER BY events DESC, reason, topic, partition
