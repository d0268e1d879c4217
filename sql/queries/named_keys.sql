-- Which keys are named by requests that prove no use of them?
-- hours UInt32 = 24
-- limit UInt32 = 50
-- An outsider who knows the id of a key can send such requests; they say nothing about its holder.
SELECT
    key_id,
    countIf(NOT proven) AS attempts,
    uniqExactIf(client_ip, NOT proven) AS sources,
    countIf(proven) AS proven_requests
FROM
(
    SELECT *, ifNull(authenticated, status BETWEEN 200 AND 399) OR has_secret AS proven
    FROM access_events
    WHERE time >= now() - toIntervalHour({hours:UInt32})
)
GROUP BY key_id
HAVING attempts > 0
ORDER BY attempts DESC, key_id
LIMIT {limit:UInt32}
