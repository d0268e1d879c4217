-- How many incidents did each detector find, and how did people judge them?
-- days UInt32 = 30
SELECT
    arrayJoin(detectors) AS detector,
    count() AS incidents,
    countIf(severity IN ('high', 'critical')) AS high_or_critical,
    countIf(close_reason IN ('theft', 'misuse_by_owner')) AS confirmed,
    countIf(close_reason LIKE 'false_%') AS false_alarms,
    countIf(state != 'closed') AS not_closed
FROM incidents
WHERE opened_at >= now() - toIntervalDay({days:UInt32})
GROUP BY detector
ORDER BY incidents DESC, detector
