-- Which keys are used from many networks?
-- days UInt32 = 30
-- networks UInt32 = 5
-- limit UInt32 = 100
-- A key in many hands looks like this, and so does one in a mobile app.
SELECT
    usage.key_id AS key_id,
    keys.owner AS owner,
    keys.environment AS environment,
    uniqCombinedMerge(12)(asns) AS networks,
    uniqCombinedMerge(12)(countries) AS countries,
    uniqCombinedMerge(12)(ips) AS addresses,
    sum(usage.requests) AS requests
FROM key_usage_hour AS usage
LEFT JOIN api_keys AS keys ON keys.key_id = usage.key_id
WHERE hour >= now() - toIntervalDay({days:UInt32})
GROUP BY key_id, owner, environment
HAVING networks >= {networks:UInt32}
ORDER BY networks DESC, key_id
LIMIT {limit:UInt32}
