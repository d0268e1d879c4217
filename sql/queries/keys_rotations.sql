-- How far are rotations: who still uses the old key, and is it safe to switch off?
-- days UInt32 = 7
-- limit UInt32 = 100
-- The usual gap is the longest silence of the old key between two hours of use in its last 90 days.
-- It is safe to switch off when it has been silent for longer, and for at least an hour.
SELECT
    old.key_id AS key_id,
    old.rotated_to AS rotated_to,
    old.owner AS owner,
    old.lifecycle AS lifecycle,
    toDate(old.grace_ends_at) AS overlap_ends,
    ifNull(of_old.requests, 0) AS old_requests,
    ifNull(of_new.requests, 0) AS new_requests,
    round(100 * new_requests / greatest(old_requests + new_requests, 1)) AS moved_percent,
    of_old.last_used AS last_used,
    of_old.usual_gap_hours AS usual_gap_hours,
    if(ifNull(dateDiff('hour', of_old.last_used, now()) > greatest(of_old.usual_gap_hours, 1), true), 'yes', 'no')
        AS safe_to_switch_off,
    clients.still AS still_used_by
FROM api_keys AS old
LEFT JOIN
(
    SELECT
        key_id,
        toNullable(sumIf(usage.requests, hour >= now() - toIntervalDay({days:UInt32}))) AS requests,
        toNullable(max(hour)) AS last_used,
        toNullable(intDiv(arrayMax(arrayDifference(arraySort(groupUniqArray(toUnixTimestamp(hour))))), 3600))
            AS usual_gap_hours
    FROM key_usage_hour AS usage
    WHERE hour >= now() - INTERVAL 90 DAY
        AND key_id IN (SELECT key_id FROM api_keys WHERE rotated_to != '' AND lifecycle != 'revoked')
    GROUP BY key_id
) AS of_old ON of_old.key_id = old.key_id
LEFT JOIN
(
    SELECT key_id, toNullable(sum(usage.requests)) AS requests
    FROM key_usage_hour AS usage
    WHERE hour >= now() - toIntervalDay({days:UInt32})
        AND key_id IN (SELECT rotated_to FROM api_keys WHERE rotated_to != '')
    GROUP BY key_id
) AS of_new ON of_new.key_id = old.rotated_to
LEFT JOIN
(
    SELECT key_id, arraySort(groupUniqArray(3)(concat(client_address, ' ', user_agent))) AS still
    FROM access_events
    WHERE time >= now() - toIntervalDay({days:UInt32})
        AND key_id IN (SELECT key_id FROM api_keys WHERE rotated_to != '' AND lifecycle != 'revoked')
    GROUP BY key_id
) AS clients ON clients.key_id = old.key_id
WHERE old.rotated_to != '' AND old.lifecycle != 'revoked'
ORDER BY safe_to_switch_off, old_requests DESC, key_id
LIMIT {limit:UInt32}
