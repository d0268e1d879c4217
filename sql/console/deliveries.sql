-- Who was told about an incident, and with which answer?
SELECT channel, revision, outcome, attempt, toUnixTimestamp64Micro(time) AS at, detail
FROM deliveries FINAL
WHERE alert_id = {id:String}
ORDER BY time, channel, revision, attempt
LIMIT 100
SETTINGS max_execution_time = 3, max_rows_to_read = 50000000
