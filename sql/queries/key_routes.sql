-- What did a key do since a time, route by route?
-- key_id String =
-- since String = 1970-01-01
-- limit UInt32 = 100
-- `since` is a date or time in UTC: 2026-03-14, or 2026-03-14 02:47:00. `new` says that the key
-- had no request to the route before.
SELECT
    method,
    path,
    countIf(recent) AS requests,
    countIf(recent AND status >= 400) AS failed,
    sumIf(ifNull(bytes_out, 0), recent) AS bytes_out,
    minIf(time, recent) AS first_seen,
    maxIf(time, recent) AS last_seen,
    count() = requests AS new
FROM
(
    SELECT *, time >= parseDateTime64BestEffort({since:String}, 6, 'UTC') AS recent
    FROM access_events
    WHERE key_id = {key_id:String}
)
GROUP BY method, path
HAVING requests > 0
ORDER BY new DESC, requests DESC, method, path
LIMIT {limit:UInt32}
