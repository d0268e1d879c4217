-- How many incidents are open, and how many were active in the last day, by severity and action?
SELECT
    latest.1 AS severity,
    latest.2 AS action,
    latest.3 AS dry_run,
    countIf(latest.4 != 'alert.resolved') AS open,
    countIf(last >= now64(6) - INTERVAL 1 DAY) AS active
FROM
(
    SELECT
        id,
        argMax(tuple(alerts.severity, alerts.action, alerts.dry_run, alerts.type), revision) AS latest,
        max(detected_at) AS last
    FROM alerts
    GROUP BY id
)
GROUP BY severity, action, dry_run
SETTINGS max_execution_time = 5, max_rows_to_read = 50000000
