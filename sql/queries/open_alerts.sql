-- Which incidents are open, the riskiest first?
-- limit UInt32 = 20
SELECT
    id,
    key_id,
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
WHERE type != 'alert.resolved'
ORDER BY latest.risk DESC, id
LIMIT {limit:UInt32}
