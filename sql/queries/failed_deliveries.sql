-- Which alerts have not reached a channel that was tried?
-- days UInt32 = 7
SELECT
    channel,
    alert_id,
    revision,
    count() AS attempts,
    argMax(outcome, attempt) AS last_outcome,
    argMax(detail, attempt) AS last_detail,
    max(time) AS last_attempt
FROM deliveries FINAL
WHERE time >= now() - toIntervalDay({days:UInt32})
GROUP BY channel, alert_id, revision
HAVING countIf(outcome IN ('delivered', 'kept_quiet', 'withdrawn', 'suppressed')) = 0
ORDER BY last_attempt DESC, channel, alert_id, revision
