-- Which incidents match the filter, newest or riskiest first, from this place on?
-- Revisions are grouped from narrow columns; explanations and whole alerts are not read. A page
-- continues after (after_rank, after_id). `matching` counts all pages. `ids` is a JSON array, or empty
-- for all.
SELECT *
FROM
(
    SELECT
        id,
        latest.1 AS about_key,
        latest.2 AS about_source,
        latest.3 AS severity,
        latest.4 AS risk,
        latest.5 AS action,
        latest.6 AS dry_run,
        multiIf(people.state != '', people.state, latest.7 = 'alert.resolved', 'closed', 'open') AS state,
        people.close_reason AS close_reason,
        people.assignee AS assignee,
        latest.8 AS detectors,
        latest.9 AS title,
        toUnixTimestamp64Micro(latest.10) AS last_event,
        if({sort:String} = 'risk', risk, toFloat64(toUnixTimestamp64Micro(seen))) AS rank,
        count() OVER () AS matching
    FROM
    (
        SELECT
            id,
            max(detected_at) AS seen,
            argMax(
                tuple(
                    alerts.key_id,
                    replaceOne(ifNull(toString(alerts.source_ip), ''), '::ffff:', ''),
                    alerts.severity,
                    alerts.risk,
                    alerts.action,
                    alerts.dry_run,
                    alerts.type,
                    alerts.detectors,
                    alerts.title,
                    alerts.last_event_time),
                revision) AS latest
        FROM alerts
        WHERE ({hours:UInt32} = 0 OR detected_at >= now64(6) - toIntervalHour({hours:UInt32}))
            AND ({key:String} = '' OR key_id = {key:String})
            AND ({ids:String} = '' OR has(JSONExtract({ids:String}, 'Array(String)'), id))
            AND ({about:String} = '' OR position(key_id, {about:String}) > 0
                OR startsWith(replaceOne(ifNull(toString(source_ip), ''), '::ffff:', ''), {about:String}))
        GROUP BY id
        HAVING ({severity:String} = '' OR latest.3 = {severity:String})
            AND ({detector:String} = '' OR has(latest.8, {detector:String}))
    ) AS evidence
    LEFT JOIN incident_states AS people ON people.incident = evidence.id
    WHERE {state:String} = '' OR state = {state:String}
)
WHERE {after_id:String} = '' OR (rank, id) < ({after_rank:Float64}, {after_id:String})
ORDER BY rank DESC, id DESC
LIMIT {limit:UInt32}
SETTINGS max_execution_time = 5, max_rows_to_read = 50000000
