-- How many incidents has each suppression hidden? The detail of such a delivery begins with its id.
SELECT splitByChar(' ', detail)[1] AS id, uniq(alert_id) AS incidents
FROM deliveries
WHERE outcome = 'suppressed'
GROUP BY id
SETTINGS max_execution_time = 3, max_rows_to_read = 50000000
