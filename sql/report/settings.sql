-- With which versions, policies and models the service was started.
-- since Int64 = 0
-- until Int64 = 0
SELECT
    toString(version) AS version,
    toString(policy_version) AS policy,
    toString(model_version) AS model,
    substring(lower(hex(SHA256(config))), 1, 16) AS configuration,
    count() AS starts,
    formatDateTime(min(time), '%Y-%m-%d %H:%i:%S') AS first_start
FROM process_starts
WHERE time >= fromUnixTimestamp64Micro({since:Int64}) AND time < fromUnixTimestamp64Micro({until:Int64})
GROUP BY version, policy, model, configuration
ORDER BY first_start, configuration
