-- What people decided, and how many of them.
-- since Int64 = 0
-- until Int64 = 0
SELECT act, origin, count() AS acts, uniqExact(who) AS people
FROM
(
    SELECT toString(kind) AS act, toString(origin) AS origin, who, time FROM incident_acts
    UNION ALL
    SELECT if(kind = 'begin', 'suppress', 'end a suppression'), 'not recorded', who, time FROM suppressions
)
WHERE time >= fromUnixTimestamp64Micro({since:Int64}) AND time < fromUnixTimestamp64Micro({until:Int64})
GROUP BY act, origin
ORDER BY acts DESC, act, origin
