-- What was alerted about a key, revision by revision?
-- key_id String =
-- days UInt32 = 30
SELECT
    detected_event_time,
    id,
    revision,
    type,
    severity,
    round(risk, 1) AS risk,
    action,
    arrayStringConcat(detectors, ', ') AS detectors,
    title
FROM alerts FINAL
WHERE key_id = {key_id:String} AND detected_event_time >= now() - toIntervalDay({days:UInt32})
ORDER BY detected_event_time, id, revision
