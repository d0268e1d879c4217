-- How long it took until incidents were acknowledged, contained and closed.
-- since Int64 = 0
-- until Int64 = 0
SELECT
    severity,
    reach.1 AS step,
    count() AS incidents,
    countIf(minutes IS NOT NULL) AS reached,
    round(quantileExactOrNull(0.5)(minutes), 1) AS median_minutes,
    round(quantileExactOrNull(0.9)(minutes), 1) AS p90_minutes,
    round(max(minutes), 1) AS longest_minutes
FROM
(
    SELECT
        toString(told.severity) AS severity,
        arrayJoin([
            ('acknowledge', if(seen_at >= told.opened_at, toNullable(seen_at), NULL)),
            ('contain', if(contained_at >= told.opened_at, toNullable(contained_at), NULL)),
            ('close', if(ended_at >= told.opened_at, toNullable(ended_at), NULL))]) AS reach,
        dateDiff('millisecond', told.opened_at, reach.2) / 60000 AS minutes
    FROM
    (
        SELECT
            id, severity, opened_at, acts.seen_at AS seen_at,
            -- The first event of the key after the incident was opened.
            arrayMin(arrayFilter(time -> time >= opened_at, deeds.times)) AS contained_at,
            multiIf(state != 'closed', toDateTime64(0, 6, 'UTC'), close_reason != '', acts.closed_at, last_detected_at)
                AS ended_at
        FROM incidents
        LEFT JOIN
        (
            -- Whoever closes an incident has seen it.
            SELECT
                incident,
                minIf(time, kind IN ('acknowledge', 'assign', 'confirm', 'dismiss')) AS seen_at,
                maxIf(time, kind IN ('confirm', 'dismiss')) AS closed_at
            FROM incident_acts
            GROUP BY incident
        ) AS acts ON acts.incident = incidents.id
        LEFT JOIN
        (
            SELECT key_id, groupArray(key_events.time) AS times
            FROM key_events
            WHERE kind IN ('suspended', 'revoked', 'rotated')
            GROUP BY key_id
        ) AS deeds ON deeds.key_id = incidents.key_id AND incidents.key_id != ''
        WHERE opened_at >= fromUnixTimestamp64Micro({since:Int64})
            AND opened_at < fromUnixTimestamp64Micro({until:Int64})
    ) AS told
)
GROUP BY severity, step
ORDER BY indexOf(['critical', 'high', 'medium', 'low'], severity), indexOf(['acknowledge', 'contain', 'close'], step)
