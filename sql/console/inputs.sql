-- Which optional fields do the requests of the last hour carry? A sample, bounded in time.
SELECT
    count() AS events,
    countIf(nonce_fingerprint != 0) AS nonce,
    countIf(client_time IS NOT NULL) AS client_time,
    countIf(signature_fingerprint != 0) AS signature,
    countIf(country != '') AS country,
    countIf(asn != 0) AS network,
    countIf(user_agent != '') AS user_agent,
    countIf(client_fingerprint != '') AS client_fingerprint,
    countIf(bytes_out IS NOT NULL) AS bytes_out,
    countIf(environment != '') AS environment,
    (SELECT count() FROM key_changes) AS key_changes,
    (SELECT count() FROM api_key_rows WHERE canary OR has(tags, 'canary')) AS canaries
FROM access_events
WHERE time >= now64(6) - INTERVAL 1 HOUR
SETTINGS max_execution_time = 3, max_rows_to_read = 1000000, read_overflow_mode = 'break'
