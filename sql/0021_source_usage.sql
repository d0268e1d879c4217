-- What came from each address in each hour, with which keys: the page of a source counts here and
-- not in the raw rows, which are sorted by key.
--
-- `source` is an IPv4 address (as ::ffff:192.0.2.1) or the first address of an IPv6 /64: one customer
-- has a whole /64, and could otherwise make a row of each request. From many sources there are at
-- most as many rows as requests, each a fraction of a raw row, and kept no longer than those
-- (`clickhouse.raw_retention_days`, applied after the migrations). Plain sums and no aggregate
-- states: of rows so small a state would be the larger part.
--
-- Place and network are those of the last request. A request counts as accepted as far as the log
-- alone tells: see `proof.rs`.
CREATE TABLE IF NOT EXISTS source_usage_hour
(
    source     IPv6 CODEC(ZSTD(1)),
    hour       DateTime('UTC') CODEC(Delta, LZ4),
    key_id     String CODEC(ZSTD(1)),
    tenant     SimpleAggregateFunction(anyLast, LowCardinality(String)),
    country    SimpleAggregateFunction(anyLast, LowCardinality(String)),
    city       SimpleAggregateFunction(anyLast, LowCardinality(String)),
    asn        SimpleAggregateFunction(anyLast, UInt32) CODEC(ZSTD(1)),
    as_name    SimpleAggregateFunction(anyLast, LowCardinality(String)),
    requests   SimpleAggregateFunction(sum, UInt64) CODEC(T64, LZ4),
    accepted   SimpleAggregateFunction(sum, UInt64) CODEC(T64, LZ4),
    refused    SimpleAggregateFunction(sum, UInt64) COMMENT '401 and 403' CODEC(T64, LZ4),
    throttled  SimpleAggregateFunction(sum, UInt64) COMMENT '429' CODEC(T64, LZ4),
    failed     SimpleAggregateFunction(sum, UInt64) COMMENT '4xx and 5xx' CODEC(T64, LZ4),
    bytes_out  SimpleAggregateFunction(sum, UInt64) CODEC(T64, LZ4),
    first_seen SimpleAggregateFunction(min, DateTime('UTC')) CODEC(Delta, LZ4),
    last_seen  SimpleAggregateFunction(max, DateTime('UTC')) CODEC(Delta, LZ4)
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(hour)
ORDER BY (source, hour, key_id)
TTL toDateTime(hour) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS source_usage_hour_view TO source_usage_hour AS
SELECT
    if(
        client_ip BETWEEN toIPv6('0.0.0.0') AND toIPv6('255.255.255.255'),
        client_ip,
        tupleElement(IPv6CIDRToRange(client_ip, 64), 1)) AS source,
    toStartOfHour(time) AS hour,
    key_id,
    anyLast(access_events.tenant) AS tenant,
    anyLast(access_events.country) AS country,
    anyLast(access_events.city) AS city,
    anyLast(access_events.asn) AS asn,
    anyLast(access_events.as_name) AS as_name,
    count() AS requests,
    countIf(ifNull(authenticated, status BETWEEN 200 AND 399)) AS accepted,
    countIf(status IN (401, 403)) AS refused,
    countIf(status = 429) AS throttled,
    countIf(status >= 400) AS failed,
    sum(ifNull(access_events.bytes_out, 0)) AS bytes_out,
    min(toDateTime(time)) AS first_seen,
    max(toDateTime(time)) AS last_seen
FROM access_events
GROUP BY source, hour, key_id;
