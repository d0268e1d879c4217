-- Which keys did an IPv6 address use, or a network that is smaller than a /64, and which did it only name?
-- The raw rows know: requests are counted by /64.
-- `first` and `last` are the ends of the range; they are equal for a single address, which the index
-- of addresses finds. A request counts as accepted as far as the log alone tells: see `proof.rs`.
-- Too many rows are an error, so that no figure is a part of the truth: the caller asks for less.
SELECT
    key_id AS key,
    any(tenant) AS tenant,
    count() AS requests,
    countIf(ifNull(authenticated, status BETWEEN 200 AND 399)) AS accepted,
    countIf(status IN (401, 403)) AS refused,
    toUnixTimestamp64Micro(min(time)) AS first,
    toUnixTimestamp64Micro(max(time)) AS last,
    accepted > 0 AS is_used,
    count() OVER (PARTITION BY is_used) AS keys
FROM access_events
WHERE ({first:String} != {last:String} OR client_ip = toIPv6({first:String}))
    AND client_ip BETWEEN toIPv6({first:String}) AND toIPv6({last:String})
    AND time >= now64(6) - toIntervalHour({hours:UInt32})
GROUP BY key_id
ORDER BY is_used DESC, requests DESC, key
LIMIT 25 BY is_used
SETTINGS max_execution_time = 2, max_rows_to_read = 30000000, max_rows_to_group_by = 1000000
