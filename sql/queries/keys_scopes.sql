-- Which granted scopes does no key use, and what would the smaller grant have refused?
-- used_within_days UInt32 = 30
-- days UInt32 = 90
-- limit UInt32 = 100
-- `proposed` holds the granted scopes that the key used within `used_within_days`. `would_refuse`
-- counts its requests of the last `days` days with a granted scope that is not proposed. A key that
-- used no scope at all is in the report of unused keys, or its log lacks scopes.
SELECT
    keys.key_id AS key_id,
    owner,
    length(scopes) AS granted,
    arraySort(arrayFilter(scope -> NOT has(used.lately, scope), scopes)) AS unused,
    arraySort(arrayFilter(scope -> has(used.lately, scope), scopes)) AS proposed,
    arraySum(arrayMap((scope, requests) -> if(has(scopes, scope) AND NOT has(used.lately, scope), requests, 0),
        used.names, used.counts)) AS would_refuse
FROM api_keys AS keys
INNER JOIN
(
    SELECT
        key_id,
        groupArray(toString(scope)) AS names,
        groupArray(requests) AS counts,
        groupArrayIf(toString(scope), last_day > today() - {used_within_days:UInt32}) AS lately
    FROM
    (
        SELECT key_id, scope, sum(daily.requests) AS requests, max(day) AS last_day
        FROM key_scope_day AS daily
        WHERE day > today() - {days:UInt32}
        GROUP BY key_id, scope
    )
    GROUP BY key_id
) AS used ON used.key_id = keys.key_id
WHERE lifecycle IN ('active', 'rotating') AND notEmpty(unused) AND notEmpty(proposed)
ORDER BY length(unused) DESC, key_id
LIMIT {limit:UInt32}
