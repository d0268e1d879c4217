-- Which incidents match, the riskiest first, and who handles them?
-- states String = open,acknowledged
-- key String =
-- severities String =
-- detectors String =
-- since Int64 = 0
-- waiting UInt8 = 0
-- suppressed UInt8 = 0
-- limit UInt32 = 50
-- Lists are separated by commas; empty ones select all. `since` is the earliest last detection, in
-- microseconds since 1970. `matching` counts those beyond the limit too. The state is that of the
-- people who handle the incident; one that nobody holds is closed when its evidence ends. `waits_for` is
-- why the proposed action was not requested yet; with `waiting`, only incidents that wait are listed,
-- with `suppressed` only those of which a suppression has hidden a revision.
SELECT
    id,
    latest.1 AS about,
    latest.2 AS severity,
    round(latest.3, 1) AS risk,
    latest.4 AS action,
    arrayStringConcat(latest.5, ', ') AS detectors,
    latest.6 AS title,
    latest.7 AS last_event_time,
    multiIf(people.state != '', people.state, latest.8 = 'alert.resolved', 'closed', 'open') AS state,
    people.close_reason AS close_reason,
    people.assignee AS assignee,
    multiIf(
        waits = '' OR state = 'closed', '',
        ruling.decision = 'reject', 'rejected',
        ruling.decision = 'approve' AND waits = 'approval_pending', 'approved',
        waits) AS waits_for,
    count() OVER () AS matching
FROM
(
    SELECT
        id,
        max(detected_at) AS last_detected,
        -- Nothing, once the action was requested after the last word of waiting.
        if(maxIf(revision, type IN ('key.suspension_requested', 'key.revocation_requested'))
                > maxIf(revision, restraint IN ('budget', 'breaker', 'approval_pending')),
            '', argMaxIf(toString(restraint), revision, restraint IN ('budget', 'breaker', 'approval_pending'))) AS waits,
        argMax(
            tuple(
                -- The key; for an incident about a source its address, IPv4 without its prefix in IPv6.
                multiIf(
                    alerts.key_id != '', alerts.key_id,
                    alerts.source_ip IS NULL, '(monitor)',
                    replaceOne(toString(assumeNotNull(alerts.source_ip)), '::ffff:', '')),
                alerts.severity,
                alerts.risk,
                alerts.action,
                alerts.detectors,
                alerts.title,
                alerts.last_event_time,
                alerts.type),
            revision) AS latest
    FROM alerts
    WHERE {key:String} = '' OR key_id = {key:String}
    GROUP BY id
    HAVING toUnixTimestamp64Micro(last_detected) >= {since:Int64}
        AND ({severities:String} = '' OR has(splitByChar(',', {severities:String}), latest.2))
        AND ({detectors:String} = '' OR hasAny(splitByChar(',', {detectors:String}), latest.5))
) AS evidence
LEFT JOIN incident_states AS people ON people.incident = evidence.id
LEFT JOIN
(
    SELECT incident, argMax(toString(kind), time) AS decision FROM incident_acts
    WHERE kind IN ('approve', 'reject') GROUP BY incident
) AS ruling ON ruling.incident = evidence.id
WHERE has(splitByChar(',', {states:String}), state)
    AND ({waiting:UInt8} = 0 OR waits_for NOT IN ('', 'rejected'))
    AND ({suppressed:UInt8} = 0
        OR id IN (SELECT alert_id FROM deliveries WHERE outcome = 'suppressed'))
ORDER BY latest.3 DESC, id
LIMIT {limit:UInt32}
