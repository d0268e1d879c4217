-- What was proposed, requested and done about keys, and what was not.
-- since Int64 = 0
-- until Int64 = 0
WITH
    fromUnixTimestamp64Micro({since:Int64}) AS since,
    fromUnixTimestamp64Micro({until:Int64}) AS until
SELECT
    action,
    sumIf(number, step = 'proposed') AS proposed,
    sumIf(number, step = 'dry_run') AS only_in_dry_run,
    sumIf(number, step = 'approve') AS approved,
    sumIf(number, step = 'reject') AS rejected,
    sumIf(number, step = 'requested') AS requested,
    sumIf(number, step = 'sent') AS sent,
    sumIf(number, step = 'done') AS confirmed_by_receiver,
    sumIf(number, step = 'refused') AS refused_by_receiver,
    sumIf(number, step = 'withdrawn') AS withdrawn
FROM
(
    SELECT asked AS action, if(is_dry, 'dry_run', 'proposed') AS step, count() AS number
    FROM
    (
        SELECT
            id,
            toString(argMax(alerts.action, indexOf(['observe', 'notify', 'throttle', 'suspend', 'revoke'], toString(alerts.action))))
                AS asked,
            min(dry_run) AS is_dry
        FROM alerts
        WHERE type IN ('alert.opened', 'alert.updated') AND detected_at >= since AND detected_at < until
        GROUP BY id
    )
    WHERE asked IN ('suspend', 'revoke')
    GROUP BY action, step
    UNION ALL
    SELECT toString(revocation_requests.action), 'requested', count()
    FROM revocation_requests WHERE time >= since AND time < until GROUP BY 1
    UNION ALL
    SELECT toString(seen_action), toString(kind), count()
    FROM incident_acts WHERE kind IN ('approve', 'reject') AND time >= since AND time < until GROUP BY 1, 2
    UNION ALL
    SELECT
        asked.action,
        arrayJoin(arrayFilter(step -> step != '', [
            multiIf(outcome = 'delivered', 'sent', outcome = 'withdrawn', 'withdrawn', ''),
            multiIf(outcome != 'delivered', '',
                endsWith(detail, 'answered: revoked') OR endsWith(detail, 'answered: suspended'), 'done',
                endsWith(detail, 'answered: refused') OR endsWith(detail, 'answered: unknown_key'), 'refused', '')])),
        count()
    FROM deliveries FINAL
    INNER JOIN
    (
        SELECT DISTINCT id, revision, if(type = 'key.suspension_requested', 'suspend', 'revoke') AS action
        FROM alerts WHERE type IN ('key.suspension_requested', 'key.revocation_requested')
    ) AS asked ON asked.id = deliveries.alert_id AND asked.revision = deliveries.revision
    WHERE channel = 'webhook' AND deliveries.time >= since AND deliveries.time < until
    GROUP BY 1, 2
)
WHERE action IN ('suspend', 'revoke')
GROUP BY action
ORDER BY action DESC
