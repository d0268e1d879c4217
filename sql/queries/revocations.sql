-- Which revocations were asked for, and what became of each?
-- days UInt32 = 90
-- A delivered request was taken by the receiver; whether the key is revoked, the receiver knows.
SELECT
    requested.time AS asked_at,
    requested.key_id AS key_id,
    requested.incident AS incident,
    sent.channel AS channel,
    sent.outcome AS outcome,
    sent.detail AS detail,
    sent.attempts AS attempts
FROM revocation_requests AS requested
LEFT JOIN
(
    SELECT alert_id, revision, channel, count() AS attempts,
        argMax(deliveries.outcome, deliveries.time) AS outcome,
        argMax(deliveries.detail, deliveries.time) AS detail
    FROM deliveries FINAL
    GROUP BY alert_id, revision, channel
) AS sent ON sent.alert_id = requested.incident AND sent.revision = requested.revision
WHERE requested.time >= now() - toIntervalDay({days:UInt32})
ORDER BY asked_at DESC, key_id, channel
