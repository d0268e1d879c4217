-- How many incidents are open or acknowledged, and how many were active in the last day, by severity
-- and action?
SELECT
    latest.1 AS severity,
    latest.2 AS action,
    latest.3 AS dry_run,
    countIf(multiIf(people.state != '', people.state = 'open', latest.4 != 'alert.resolved')) AS open,
    countIf(people.state = 'acknowledged') AS acknowledged,
    countIf(last >= now64(6) - INTERVAL 1 DAY) AS active
FROM
(
    SELECT
        id,
        argMax(tuple(alerts.severity, alerts.action, alerts.dry_run, alerts.type), revision) AS latest,
        max(detected_at) AS last
    FROM alerts
    GROUP BY id
) AS evidence
LEFT JOIN incident_states AS people ON people.incident = evidence.id
GROUP BY severity, action, dry_run
SETTINGS max_execution_time = 5, max_rows_to_read = 50000000
