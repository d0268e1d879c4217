-- Which keys were used in production and are registered for something else, or the reverse?
-- days UInt32 = 30
-- limit UInt32 = 100
WITH ['production', 'prod', 'live'] AS production
SELECT
    events.key_id AS key_id,
    any(keys.owner) AS owner,
    any(keys.environment) AS registered,
    toString(events.environment) AS used_in,
    count() AS requests,
    toDate(max(events.time)) AS last_used
FROM access_events AS events
INNER JOIN api_keys AS keys ON keys.key_id = events.key_id
WHERE events.time >= now() - toIntervalDay({days:UInt32})
    AND events.environment != '' AND keys.environment != ''
    AND has(production, lower(events.environment)) != has(production, lower(keys.environment))
GROUP BY key_id, used_in
ORDER BY requests DESC, key_id
LIMIT {limit:UInt32}
