-- Which addresses were refused with many keys?
-- days UInt32 = 7
-- keys UInt32 = 5
-- limit UInt32 = 50
-- `keys_used` are keys with which the address succeeded: those may be stolen.
SELECT source, asn, network, country, day, requests, keys_refused, keys_used, refused, first_seen, last_seen
FROM source_abuse
WHERE day >= today() - {days:UInt32} AND keys_refused >= {keys:UInt32}
ORDER BY keys_refused DESC, refused DESC, source, day
LIMIT {limit:UInt32}
