-- How far is each partition stored?
-- days UInt32 = 30
SELECT topic, topic_id, partition, stored_from, stored_to, behind, in_doubt, events, rejections, last_stored_at
FROM ingest_completeness
WHERE last_stored_at >= now() - toIntervalDay({days:UInt32})
ORDER BY topic, topic_id, partition
