-- How many incidents opened in each hour of the last day, by severity?
SELECT toUnixTimestamp(toStartOfHour(opened)) AS hour, severity, count() AS incidents
FROM
(
    SELECT id, min(detected_at) AS opened, argMax(alerts.severity, revision) AS severity
    FROM alerts
    WHERE detected_at >= now64(6) - INTERVAL 1 DAY
    GROUP BY id
    -- Without its first revision here, an incident opened before.
    HAVING min(revision) = 1
)
GROUP BY hour, severity
ORDER BY hour, severity
SETTINGS max_execution_time = 5, max_rows_to_read = 50000000
