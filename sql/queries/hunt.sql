-- Which requests match?
-- key String =
-- address String =
-- network String =
-- asn UInt32 = 0
-- client String =
-- route String = %
-- method String =
-- since Int64 = 0
-- until Int64 = 9223372036854775807
-- limit UInt64 = 100
-- An empty value and AS 0 match all. `network` is a CIDR, `client` a part of the user agent or a
-- whole fingerprint, `route` a path with % for any text; times are in microseconds since 1970.
SELECT
    time,
    key_id,
    client_address AS address,
    asn,
    as_name,
    country,
    city,
    method,
    path,
    status,
    latency_ms,
    bytes_in,
    bytes_out,
    user_agent,
    client_fingerprint,
    environment,
    scope,
    tenant,
    request_id,
    topic,
    partition,
    record_offset,
    record_index
FROM access_events
WHERE ({key:String} = '' OR key_id = {key:String})
    AND ({address:String} = '' OR client_ip = toIPv6OrZero({address:String}))
    AND ({network:String} = '' OR isIPAddressInRange(client_address, {network:String}))
    AND ({asn:UInt32} = 0 OR asn = {asn:UInt32})
    AND ({client:String} = ''
        OR client_fingerprint = {client:String}
        OR positionCaseInsensitiveUTF8(user_agent, {client:String}) > 0)
    AND path LIKE {route:String}
    AND ({method:String} = '' OR method = {method:String})
    AND time >= fromUnixTimestamp64Micro({since:Int64}) AND time < fromUnixTimestamp64Micro({until:Int64})
ORDER BY time DESC, topic, partition, record_offset, record_index
LIMIT {limit:UInt64}
