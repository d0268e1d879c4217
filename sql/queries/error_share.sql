-- Which keys fail more often now than in the week before?
-- hours UInt32 = 1
-- days UInt32 = 7
-- limit UInt32 = 20
SELECT
    key_id,
    sumIf(requests, recent) AS recent_requests,
    round(100 * sumIf(status_4xx + status_5xx, recent) / recent_requests, 1) AS recent_error_percent,
    sumIf(requests, NOT recent) AS earlier_requests,
    round(100 * sumIf(status_4xx + status_5xx, NOT recent) / earlier_requests, 1)
        AS earlier_error_percent
FROM
(
    SELECT *, minute >= now() - toIntervalHour({hours:UInt32}) AS recent
    FROM key_usage_minute
    WHERE minute >= now() - toIntervalDay({days:UInt32})
)
GROUP BY key_id
HAVING recent_requests > 0 AND earlier_requests > 0
    AND recent_error_percent > earlier_error_percent
ORDER BY recent_error_percent - earlier_error_percent DESC, key_id
LIMIT {limit:UInt32}
