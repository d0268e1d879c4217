-- Incidents that were opened, by their strongest sign, and what became of them.
-- since Int64 = 0
-- until Int64 = 0
SELECT
    toString(incidents.detectors[1]) AS detector,
    count() AS opened,
    countIf(severity = 'critical') AS critical,
    countIf(close_reason IN ('theft', 'misuse_by_owner')) AS confirmed,
    countIf(startsWith(close_reason, 'false_')) AS dismissed,
    countIf(close_reason IN ('test', 'duplicate')) AS set_aside,
    countIf(state = 'closed' AND close_reason = '') AS ended,
    countIf(state = 'acknowledged') AS acknowledged,
    countIf(state = 'open') AS open
FROM incidents
WHERE opened_at >= fromUnixTimestamp64Micro({since:Int64}) AND opened_at < fromUnixTimestamp64Micro({until:Int64})
GROUP BY detector
ORDER BY opened DESC, detector
