-- How many keys were used within the last day?
SELECT uniqCombined(17)(key_id) AS keys
FROM key_usage_hour
WHERE hour >= now() - INTERVAL 1 DAY
SETTINGS max_execution_time = 3
