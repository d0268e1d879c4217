-- Why were records rejected?
-- hours UInt32 = 24
SELECT
    reason,
    count() AS records,
    any(detail) AS example,
    uniqExact(topic, partition) AS partitions,
    max(rejected_at) AS last_seen
FROM rejected_events
WHERE rejected_at >= now() - toIntervalHour({hours:UInt32})
GROUP BY reason
ORDER BY records DESC, reason
