-- What is known of one incident, revision by revision, the newest first?
SELECT alert
FROM alerts FINAL
WHERE id = {id:String}
ORDER BY revision DESC
LIMIT 200
SETTINGS max_execution_time = 3
