-- Which incidents are open, the riskiest first?
-- limit UInt32 = 20
SELECT
    id,
    key_id,
    severity,
    round(risk, 1) AS risk,
    action,
    arrayStringConcat(detectors, ', ') AS detectors,
    title,
    last_event_time
FROM
(
    SELECT * FROM alerts FINAL ORDER BY revision DESC LIMIT 1 BY id
)
WHERE type != 'alert.resolved'
ORDER BY alerts.risk DESC, id
LIMIT {limit:UInt32}
