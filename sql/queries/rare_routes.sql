-- Which routes does hardly any key use, and who used them?
-- days UInt32 = 7
-- keys UInt32 = 2
-- limit UInt32 = 100
-- Ids in a path are folded: numbers, hexadecimal runs and UUIDs become :id.
SELECT
    method,
    replaceRegexpAll(path, '/([0-9]+|[0-9a-fA-F-]{16,})(/|$)', '/:id\\2') AS route,
    uniqExact(key_id) AS keys_used,
    arraySort(groupUniqArray(5)(key_id)) AS some_keys,
    count() AS requests,
    countIf(status >= 400) AS failed,
    max(time) AS last_seen
FROM access_events
WHERE time >= now() - toIntervalDay({days:UInt32})
GROUP BY method, route
HAVING keys_used <= {keys:UInt32}
ORDER BY last_seen DESC, method, route
LIMIT {limit:UInt32}
