-- Which incidents are open, the riskiest first?
-- limit UInt32 = 20
-- Without those that people have closed, unless new evidence has reopened them.
SELECT
    id,
    -- The key; for an incident about a source its address, IPv4 without its prefix in IPv6.
    multiIf(
        latest.key_id != '', latest.key_id,
        latest.source_ip IS NULL, '(monitor)',
        replaceOne(toString(assumeNotNull(latest.source_ip)), '::ffff:', '')
    ) AS about,
    severity,
    round(latest.risk, 1) AS risk,
    action,
    arrayStringConcat(latest.detectors, ', ') AS detectors,
    title,
    last_event_time
FROM
(
    SELECT * FROM alerts FINAL ORDER BY revision DESC LIMIT 1 BY id
) AS latest
LEFT JOIN incident_states AS people ON people.incident = latest.id
WHERE multiIf(people.state != '', people.state != 'closed', latest.type != 'alert.resolved')
ORDER BY latest.risk DESC, id
LIMIT {limit:UInt32}
