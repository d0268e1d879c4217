-- Which processes are running, and with which versions were they started?
SELECT
    starts.owner AS process,
    starts.version AS version,
    starts.policy AS policy,
    starts.model AS model,
    toUnixTimestamp64Micro(starts.started) AS started
FROM
(
    SELECT
        owner,
        argMax(toString(process_starts.version), time) AS version,
        argMax(toString(policy_version), time) AS policy,
        argMax(toString(model_version), time) AS model,
        max(time) AS started
    FROM process_starts
    GROUP BY owner
) AS starts
INNER JOIN
(
    SELECT owner, max(time) AS beat, argMax(has_left, time) AS has_left
    FROM process_beats
    GROUP BY owner
) AS beats ON beats.owner = starts.owner
WHERE NOT has_left AND beat >= now64(6) - INTERVAL 1 MINUTE
ORDER BY started DESC, process
LIMIT 50
SETTINGS max_execution_time = 3
