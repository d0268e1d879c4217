-- Which revocations were asked for, and what became of each?
-- days UInt32 = 90
-- A delivered request was taken by the receiver. It took effect when an event of the key confirms it.
SELECT
    requested.time AS asked_at,
    requested.key_id AS key_id,
    requested.incident AS incident,
    sent.channel AS channel,
    sent.outcome AS outcome,
    sent.detail AS detail,
    sent.attempts AS attempts,
    deeds.confirmed AS confirmed,
    if(deeds.confirmed = '', NULL, deeds.confirmed_at) AS confirmed_at
FROM revocation_requests AS requested
LEFT JOIN
(
    SELECT alert_id, revision, channel, count() AS attempts,
        argMax(deliveries.outcome, deliveries.time) AS outcome,
        argMax(deliveries.detail, deliveries.time) AS detail
    FROM deliveries FINAL
    GROUP BY alert_id, revision, channel
) AS sent ON sent.alert_id = requested.incident AND sent.revision = requested.revision
LEFT JOIN
(
    SELECT asked_number, argMin(deed, happened_at) AS confirmed, min(happened_at) AS confirmed_at
    FROM
    (
        SELECT number AS asked_number, key_id AS asked_key, revocation_requests.time AS asked_at
        FROM revocation_requests
    ) AS asked
    INNER JOIN
    (
        SELECT key_id AS deed_key, toString(kind) AS deed, key_events.time AS happened_at
        FROM key_events
        WHERE kind IN ('suspended', 'revoked', 'rotated')
    ) AS done ON done.deed_key = asked.asked_key
    WHERE happened_at >= asked_at - INTERVAL 1 MINUTE
    GROUP BY asked_number
) AS deeds ON deeds.asked_number = requested.number
WHERE requested.time >= now() - toIntervalDay({days:UInt32})
ORDER BY asked_at DESC, key_id, channel
