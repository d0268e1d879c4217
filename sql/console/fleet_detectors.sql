-- How many incidents had evidence of each detector in the last week, and in the four weeks before?
SELECT
    detector,
    countIf(opened >= now64(6) - INTERVAL 7 DAY) AS week,
    countIf(opened < now64(6) - INTERVAL 7 DAY) AS before,
    toUnixTimestamp64Micro(max(opened)) AS last
FROM
(
    SELECT id, min(detected_at) AS opened, groupUniqArrayArray(detectors) AS names
    FROM alerts
    WHERE detected_at >= now64(6) - INTERVAL 35 DAY
    GROUP BY id
)
ARRAY JOIN names AS detector
GROUP BY detector
SETTINGS max_execution_time = 5, max_rows_to_read = 50000000
