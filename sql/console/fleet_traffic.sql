-- What did all keys do in the last seven days, and in the seven days before?
SELECT
    hour < now() - INTERVAL 7 DAY AS before,
    uniqCombined(17)(key_id) AS keys,
    sum(usage.requests) AS requests,
    sum(usage.status_4xx + usage.status_5xx) AS failed,
    sum(usage.unauthorized) AS refused,
    sum(usage.throttled) AS throttled,
    sum(usage.bytes_out) AS bytes
FROM key_usage_hour AS usage
WHERE hour >= now() - INTERVAL 14 DAY
GROUP BY before
SETTINGS max_execution_time = 3, max_rows_to_read = 100000000
