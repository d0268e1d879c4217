-- Views that analysts read instead of aggregate states, revisions and acts. A view runs with the
-- rights of its reader (SQL SECURITY INVOKER), so that row policies of the tables hold for it.
--
-- One row for each key and hour in which the key was used.
CREATE VIEW IF NOT EXISTS key_usage_1h SQL SECURITY INVOKER AS
SELECT
    key_id,
    hour,
    sum(usage.requests) AS requests,
    sum(usage.status_2xx) AS status_2xx,
    sum(usage.status_3xx) AS status_3xx,
    sum(usage.status_4xx) AS status_4xx,
    sum(usage.status_5xx) AS status_5xx,
    sum(usage.unauthorized) AS unauthorized,
    sum(usage.throttled) AS throttled,
    sum(usage.bytes_in) AS bytes_in,
    sum(usage.bytes_out) AS bytes_out,
    quantilesTimingMerge(0.5, 0.95, 0.99)(usage.latency_ms) AS latency_ms,
    uniqCombinedMerge(12)(usage.ips) AS addresses,
    uniqCombinedMerge(12)(usage.countries) AS countries,
    uniqCombinedMerge(12)(usage.asns) AS networks,
    uniqCombinedMerge(12)(usage.routes) AS routes
FROM key_usage_hour AS usage
GROUP BY key_id, hour;

-- One row for each incident: its last revision, and who handles it. The state is that of the
-- people; an incident that nobody touched is closed when its evidence has ended.
CREATE VIEW IF NOT EXISTS incidents SQL SECURITY INVOKER AS
SELECT
    evidence.id AS id,
    latest.1 AS key_id,
    latest.2 AS source,
    latest.3 AS tenant,
    latest.4 AS severity,
    latest.5 AS risk,
    latest.6 AS confidence,
    latest.7 AS action,
    latest.8 AS detectors,
    latest.9 AS title,
    multiIf(people.state != '', people.state, latest.10 = 'alert.resolved', 'closed', 'open') AS state,
    people.close_reason AS close_reason,
    people.closed_by AS closed_by,
    people.assignee AS assignee,
    revisions,
    first_event_time,
    last_event_time,
    opened_at,
    last_detected_at
FROM
(
    SELECT
        id,
        count() AS revisions,
        min(alerts.first_event_time) AS first_event_time,
        max(alerts.last_event_time) AS last_event_time,
        min(alerts.detected_at) AS opened_at,
        max(alerts.detected_at) AS last_detected_at,
        argMax(
            tuple(
                alerts.key_id,
                if(alerts.source_ip IS NULL, '', replaceOne(toString(assumeNotNull(alerts.source_ip)), '::ffff:', '')),
                toString(alerts.tenant),
                toString(alerts.severity),
                alerts.risk,
                alerts.confidence,
                toString(alerts.action),
                alerts.detectors,
                alerts.title,
                toString(alerts.type)),
            revision) AS latest
    FROM alerts
    GROUP BY id
) AS evidence
LEFT JOIN incident_states AS people ON people.incident = evidence.id;

-- Everything that happened to a key, to be read by time: first uses of networks, revisions of
-- incidents, acts of people, and deliveries of requests to revoke it.
CREATE VIEW IF NOT EXISTS key_timeline SQL SECURITY INVOKER AS
SELECT
    key_id,
    min(time) AS time,
    'first use of a network' AS event,
    concat('AS', toString(asn), ' ', any(as_name), ', ', argMin(country, access_events.time)) AS description,
    '' AS incident,
    '' AS who
FROM access_events
WHERE asn != 0 AND (status BETWEEN 200 AND 399 OR authenticated)
GROUP BY key_id, asn
UNION ALL
SELECT key_id, detected_event_time, toString(type), concat(severity, ', ', action, ': ', title), id, ''
FROM alerts
WHERE key_id != ''
UNION ALL
SELECT known.key_id, acts.time, concat('people: ', acts.kind),
    concatWithSeparator(' ', acts.reason, acts.assignee, acts.text), acts.incident, acts.who
FROM incident_acts AS acts
INNER JOIN (SELECT DISTINCT id, key_id FROM alerts WHERE key_id != '') AS known ON known.id = acts.incident
UNION ALL
SELECT requested.key_id, sent.time, concat('revocation: ', sent.outcome),
    concat(sent.channel, ', attempt ', toString(sent.attempt), ': ', sent.detail), sent.alert_id, ''
FROM deliveries AS sent
INNER JOIN
(
    SELECT DISTINCT id, revision, key_id FROM alerts WHERE type = 'key.revocation_requested'
) AS requested ON requested.id = sent.alert_id AND requested.revision = sent.revision;

-- One row for each address and day on which it was refused at least once. `keys_refused` of a
-- proxy in front of many customers is large too: compare it with `keys_used`.
CREATE VIEW IF NOT EXISTS source_abuse SQL SECURITY INVOKER AS
SELECT
    toDate(time) AS day,
    client_address AS source,
    any(asn) AS asn,
    any(as_name) AS network,
    any(country) AS country,
    count() AS requests,
    uniqCombined(12)(key_id) AS keys_named,
    uniqCombinedIf(12)(key_id, status IN (401, 403)) AS keys_refused,
    uniqCombinedIf(12)(key_id, status BETWEEN 200 AND 399) AS keys_used,
    countIf(status IN (401, 403)) AS refused,
    countIf(status = 429) AS throttled,
    min(time) AS first_seen,
    max(time) AS last_seen
FROM access_events
GROUP BY day, source
HAVING refused > 0;

-- One row for each partition of each topic: how far it is stored. `behind` is the number of offsets
-- that the log held beyond the last stored batch when that batch was stored.
CREATE VIEW IF NOT EXISTS ingest_completeness SQL SECURITY INVOKER AS
SELECT
    topic,
    topic_id,
    partition,
    minIf(first_offset, done) AS stored_from,
    maxIf(last_offset, done) AS stored_to,
    greatest(0, ifNull(argMaxIf(log_end, last_offset, done), stored_to + 1) - 1 - stored_to) AS behind,
    countIf(NOT done AND first_offset > stored_before) AS in_doubt,
    sum(batch_events) AS events,
    sum(batch_rejections) AS rejections,
    max(stored_at) AS last_stored_at
FROM
(
    SELECT
        topic,
        topic_id,
        partition,
        first_offset,
        last_offset,
        countIf(state = 'done') > 0 AS done,
        argMaxIf(ingest_batches.log_end, time, state = 'done') AS log_end,
        maxIf(events, state = 'done') AS batch_events,
        maxIf(rejections, state = 'done') AS batch_rejections,
        maxIf(time, state = 'done') AS stored_at,
        max(if(done, last_offset, -1)) OVER (PARTITION BY topic, topic_id, partition) AS stored_before
    FROM ingest_batches
    GROUP BY topic, topic_id, partition, first_offset, last_offset
)
GROUP BY topic, topic_id, partition;
