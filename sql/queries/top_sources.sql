-- Which addresses sent most requests, with how many keys, and how were they answered?
-- hours UInt32 = 24
-- limit UInt32 = 20
-- Whole hours. IPv6 is counted by /64, which one customer has; place and network are the latest.
SELECT
    if(isNull(toIPv4OrNull(text)), concat(text, '/64'), text) AS source,
    requests, accepted, refused, throttled, bytes_out, keys_named, keys_used, asn, network, country
FROM
(
    SELECT
        replaceOne(toString(usage.source), '::ffff:', '') AS text,
        sum(usage.requests) AS requests,
        sum(usage.accepted) AS accepted,
        sum(usage.refused) AS refused,
        sum(usage.throttled) AS throttled,
        sum(usage.bytes_out) AS bytes_out,
        uniqCombined(12)(key_id) AS keys_named,
        uniqCombinedIf(12)(key_id, usage.accepted > 0) AS keys_used,
        argMax(usage.asn, last_seen) AS asn,
        argMax(usage.as_name, last_seen) AS network,
        argMax(usage.country, last_seen) AS country
    FROM source_usage_hour AS usage
    WHERE hour >= toStartOfHour(now('UTC')) - toIntervalHour({hours:UInt32})
    GROUP BY usage.source
)
ORDER BY requests DESC, source
LIMIT {limit:UInt32}
