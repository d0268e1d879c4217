-- Where is an address or network, and which of its addresses called?
-- `number` is that of the autonomous system, of networks alone. An IPv6 address stands for its /64.
SELECT
    facet.1 AS kind,
    facet.2 AS name,
    facet.3 AS number,
    sum(usage.requests) AS requests,
    sum(usage.failed) AS failed,
    toInt64(toUnixTimestamp(min(usage.first_seen))) * 1000000 AS first,
    toInt64(toUnixTimestamp(max(usage.last_seen))) * 1000000 AS last
FROM
(
    SELECT
        source,
        sum(hours.requests) AS requests,
        sum(hours.failed) AS failed,
        min(hours.first_seen) AS first_seen,
        max(hours.last_seen) AS last_seen,
        country, city, asn, as_name
    FROM source_usage_hour AS hours
    WHERE source BETWEEN toIPv6({first:String}) AND toIPv6({last:String})
        AND hour >= toStartOfHour(now('UTC')) - toIntervalHour({hours:UInt32})
    GROUP BY source, country, city, asn, as_name
) AS usage
ARRAY JOIN
    [
        ('place', if(country = '', '', if(city = '', toString(country), concat(city, ', ', country))), 0),
        ('network', toString(as_name), asn),
        ('address', if(isNull(toIPv4OrNull(replaceOne(toString(source), '::ffff:', ''))),
            concat(toString(source), '/64'), replaceOne(toString(source), '::ffff:', '')), 0)
    ] AS facet
GROUP BY kind, name, number
ORDER BY kind, requests DESC, name
LIMIT 8 BY kind
SETTINGS max_execution_time = 2, max_rows_to_read = 100000000, max_rows_to_group_by = 3000000
