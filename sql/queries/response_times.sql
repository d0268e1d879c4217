-- How long did people take to acknowledge and to close incidents, week by week?
-- days UInt32 = 90
SELECT
    toMonday(opened_at) AS week,
    severity,
    count() AS incidents,
    countIf(acknowledged_at > 0) AS acknowledged,
    round(quantileExactIf(0.5)(dateDiff('second', opened_at, first_act) / 60, acknowledged_at > 0), 1) AS minutes_to_acknowledge,
    countIf(closed_at > 0) AS closed_by_people,
    round(quantileExactIf(0.5)(dateDiff('second', opened_at, last_closing) / 60, closed_at > 0), 1) AS minutes_to_close
FROM incidents
LEFT JOIN
(
    SELECT
        incident,
        -- Whoever closes an incident has seen it.
        minIf(time, kind IN ('acknowledge', 'assign', 'confirm', 'dismiss')) AS first_act,
        maxIf(time, kind IN ('confirm', 'dismiss')) AS last_closing,
        toUnixTimestamp(first_act) AS acknowledged_at,
        toUnixTimestamp(last_closing) AS closed_at
    FROM incident_acts
    GROUP BY incident
) AS acts ON acts.incident = incidents.id
WHERE opened_at >= now() - toIntervalDay({days:UInt32})
GROUP BY week, severity
ORDER BY week DESC, indexOf(['critical', 'high', 'medium', 'low'], severity)
