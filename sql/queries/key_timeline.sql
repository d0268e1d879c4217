-- What happened to a key, in order: first uses of networks, incidents, acts of people, revocations?
-- key_id String =
-- days UInt32 = 30
SELECT time, event, description, incident, who
FROM key_timeline
WHERE key_id = {key_id:String} AND time >= now() - toIntervalDay({days:UInt32})
ORDER BY time, event, incident
