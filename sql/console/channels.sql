-- How did deliveries go in the last day, by channel?
SELECT
    channel,
    countIf(outcome = 'delivered') AS delivered,
    countIf(outcome = 'failed') AS waiting,
    countIf(outcome = 'gave_up') AS lost,
    anyIf(detail, outcome IN ('failed', 'gave_up')) AS example
FROM
(
    SELECT channel, argMax(outcome, time) AS outcome, argMax(detail, time) AS detail
    FROM deliveries
    WHERE time >= now64(6) - INTERVAL 1 DAY
    GROUP BY channel, alert_id, revision
)
GROUP BY channel
ORDER BY channel
SETTINGS max_execution_time = 3, max_rows_to_read = 50000000
