-- Which revisions of alerts were detected after this place?
-- (time, id, revision) is the order of the stream. The whole alert is read for one page only.
WITH
    toDateTime64(fromUnixTimestamp64Micro({after:Int64}), 6, 'UTC') AS after_time,
    page AS
    (
        SELECT DISTINCT detected_at, id, revision
        FROM alerts
        WHERE detected_at >= after_time
            AND (detected_at, id, revision) > (after_time, {after_id:String}, {after_revision:UInt32})
        ORDER BY detected_at, id, revision
        LIMIT {limit:UInt32}
    )
SELECT toUnixTimestamp64Micro(detected_at) AS detected, id, revision, any(alerts.alert) AS alert
FROM alerts
WHERE (id, revision) IN (SELECT id, revision FROM page)
GROUP BY detected_at, id, revision
ORDER BY detected_at, id, revision
SETTINGS max_execution_time = 5
