-- Which rule applied to the incidents of the last 30 days, to which action did they lead, and what held
-- a stronger one back?
SELECT latest.1 AS rule, latest.2 AS action, latest.3 AS restraint, count() AS incidents
FROM
(
    SELECT
        id,
        argMax(
            tuple(JSONExtractString(alert, 'rule'), toString(alerts.action), toString(alerts.restraint)),
            revision) AS latest
    FROM alerts
    WHERE detected_at >= now64(6) - INTERVAL 30 DAY AND type IN ('alert.opened', 'alert.updated')
    GROUP BY id
)
GROUP BY rule, action, restraint
ORDER BY incidents DESC, rule, action, restraint
SETTINGS max_execution_time = 3, max_rows_to_read = 2000000
