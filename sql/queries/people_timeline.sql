-- What did people do to incidents, the latest first?
-- incident String =
-- who String =
-- days UInt32 = 30
-- limit UInt32 = 100
SELECT
    time,
    incident,
    who,
    origin,
    kind,
    reason,
    assignee,
    text,
    seen_revision,
    seen_severity,
    arrayStringConcat(seen_detectors, ', ') AS seen_detectors
FROM incident_acts
WHERE time >= now() - toIntervalDay({days:UInt32})
    AND ({incident:String} = '' OR incident = {incident:String})
    AND ({who:String} = '' OR who = {who:String})
ORDER BY time DESC, id DESC
LIMIT {limit:UInt32}
