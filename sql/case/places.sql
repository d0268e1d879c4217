-- Where the addresses of these requests were, as it was known then: databases change.
-- key String =
-- network String =
-- since Int64 = 0
-- until Int64 = 0
SELECT
    client_address AS address,
    argMax(toString(country), time) AS country,
    argMax(toString(region), time) AS region,
    argMax(toString(city), time) AS city,
    argMax(latitude, time) AS latitude,
    argMax(longitude, time) AS longitude,
    argMax(asn, time) AS asn,
    argMax(toString(as_name), time) AS as_name
FROM access_events
WHERE ({key:String} = '' OR key_id = {key:String})
    AND ({network:String} = '' OR isIPAddressInRange(client_address, {network:String}))
    AND time >= fromUnixTimestamp64Micro({since:Int64})
    AND time <= fromUnixTimestamp64Micro({until:Int64})
    AND quarantined = ''
GROUP BY address
ORDER BY address
