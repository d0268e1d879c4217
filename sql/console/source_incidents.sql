-- Which incidents of the last 30 days are about an address or network, or name it in the evidence of
-- a key?
-- An address in the evidence stands in a field of its own. A request cannot forge one: quotes within
-- its values are escaped in the alert's JSON. An incident about a network is one about its addresses,
-- and one about a source is not about the address of its last request.
SELECT id, max(key_id = '') AS is_about
FROM
(
    SELECT id, key_id, detected_at,
        arrayJoin(extractAllGroupsVertical(alert, '"([a-z_]*ip|source)":"([0-9a-fA-F:.]+)(/[0-9]{1,3})?"')) AS found,
        toIPv6OrDefault(found[2]) AS base
    FROM alerts
    WHERE detected_at >= now64(6) - INTERVAL 30 DAY
)
WHERE (key_id != '' OR found[1] IN ('source', 'source_ip'))
    AND (base BETWEEN toIPv6({first:String}) AND toIPv6({last:String})
        OR (found[3] != '' AND isIPAddressInRange({first:String}, concat(found[2], found[3]))))
GROUP BY id
ORDER BY is_about DESC, max(detected_at) DESC, id
LIMIT 21 BY is_about
SETTINGS max_execution_time = 3, max_rows_to_read = 2000000
