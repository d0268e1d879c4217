-- What people did to incidents: who, when, from where. Rows are only added; the state of an
-- incident follows from its rows in the order of (time, id), as `incident_standing` folds them.
--
-- `seen_*` is the latest evidence that the author knew: evidence beyond it reopens a closed
-- incident. `after` is the time of the latest act that the author knew. An act is never ordered
-- before one that its author knew, even when the server's clock is set back.
-- `time` is the server's: one clock for the installation. A repeated insert carries the same
-- deduplication token. No TTL: this is the audit trail, and it is small.
CREATE TABLE IF NOT EXISTS incident_acts
(
    incident       String,
    id             String,
    who            String,
    origin         LowCardinality(String) COMMENT 'command_line, console or api',
    kind           LowCardinality(String) COMMENT 'acknowledge, assign, comment, confirm, dismiss or reopen',
    reason         LowCardinality(String) COMMENT 'of confirm and dismiss',
    assignee       String COMMENT 'of assign',
    text           String CODEC(ZSTD(3)),
    seen_revision  UInt32,
    seen_at        DateTime64(6, 'UTC') COMMENT 'when that revision was detected',
    seen_severity  LowCardinality(String),
    seen_detectors Array(LowCardinality(String)),
    quiet_seconds  UInt32 COMMENT 'of confirm and dismiss: for so long the same kind of evidence stays quiet',
    after          DateTime64(6, 'UTC'),
    time           DateTime64(6, 'UTC') DEFAULT greatest(now64(6, 'UTC'), addMicroseconds(after, 1)),
    INDEX time_range time TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
ORDER BY (incident, time, id)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 256;

-- The state of each incident by the acts of people alone: empty (untouched), open (reopened),
-- acknowledged or closed. The same fold as `src/workflow/standing.rs`; a test compares the two.
-- The fold carries (state, assignee, closing); a closing is (time, who, kind, reason,
-- seen revision, seen severity, seen detectors, quiet until).
CREATE VIEW IF NOT EXISTS incident_standing AS
SELECT
    incident,
    standing.1 AS state,
    standing.2 AS assignee,
    standing.3.1 AS closed_at,
    standing.3.2 AS closed_by,
    standing.3.4 AS close_reason,
    standing.3.5 AS seen_revision,
    standing.3.6 AS seen_severity,
    standing.3.7 AS seen_detectors,
    standing.3.8 AS quiet_until,
    last_act
FROM
(
    SELECT
        incident,
        max(time) AS last_act,
        arraySort(groupArray(tuple(
            time, id, who, toString(kind), toString(reason), assignee, seen_revision,
            indexOf(['low', 'medium', 'high', 'critical'], toString(seen_severity)),
            CAST(seen_detectors, 'Array(String)'), seen_at, quiet_seconds))) AS acts,
        arrayFold(
            (was, act) -> multiIf(
                act.4 = 'reopen',
                if(was.1 IN ('', 'closed'), tuple('open', was.2, was.3), was),
                -- A closed incident stays as it is, unless the author knew evidence that reopens it.
                was.1 = 'closed' AND NOT (act.7 > was.3.5
                    AND (NOT hasAll(was.3.7, act.9) OR act.8 > was.3.6 OR act.10 > was.3.8)),
                was,
                act.4 IN ('confirm', 'dismiss'),
                tuple('closed', was.2, tuple(act.1, act.3, act.4, act.5, act.7, act.8, act.9,
                    addSeconds(act.1, act.11))),
                act.4 = 'acknowledge', tuple('acknowledged', was.2, was.3),
                act.4 = 'assign', tuple(was.1, act.6, was.3),
                was),
            acts,
            CAST(('', '', (toDateTime64(0, 6, 'UTC'), '', '', '', 0, 0, [], toDateTime64(0, 6, 'UTC'))),
                'Tuple(String, String, Tuple(DateTime64(6, \'UTC\'), String, String, String, UInt32, UInt64, Array(String), DateTime64(6, \'UTC\')))')
        ) AS standing
    FROM incident_acts
    GROUP BY incident
);

-- The state of each incident that people touched: `state` is empty if only the evidence decides,
-- as it does for an incident that was closed and has evidence beyond what its closing knew.
CREATE VIEW IF NOT EXISTS incident_states AS
SELECT
    incident,
    if(standing.state = 'closed' AND beyond, '', standing.state) AS state,
    if(state = 'closed', close_reason, '') AS close_reason,
    if(state = 'closed', closed_by, '') AS closed_by,
    standing.assignee AS assignee,
    closed_at,
    quiet_until,
    standing.state = 'closed' AND beyond AS reopened_by_evidence,
    last_act
FROM incident_standing AS standing
LEFT JOIN
(
    SELECT
        known.incident AS incident,
        max(revision > known.seen_revision
            AND (NOT hasAll(known.seen_detectors, CAST(alerts.detectors, 'Array(String)'))
                OR indexOf(['low', 'medium', 'high', 'critical'], toString(alerts.severity)) > known.seen_severity
                OR alerts.detected_at > known.quiet_until)) AS beyond
    FROM alerts
    INNER JOIN incident_standing AS known ON known.incident = alerts.id
    WHERE alerts.id IN (SELECT incident FROM incident_acts) AND type IN ('alert.opened', 'alert.updated')
        AND known.state = 'closed'
    GROUP BY incident
) AS evidence ON evidence.incident = standing.incident;
