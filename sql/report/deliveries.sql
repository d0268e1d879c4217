-- What became of the alerts on each channel. An attempt that failed is followed by another.
-- since Int64 = 0
-- until Int64 = 0
SELECT
    toString(channel) AS channel,
    countIf(outcome = 'delivered') AS delivered,
    countIf(outcome = 'failed') AS failed_attempts,
    countIf(outcome = 'gave_up') AS given_up,
    countIf(outcome = 'kept_quiet') AS kept_quiet,
    countIf(outcome = 'suppressed') AS suppressed,
    countIf(outcome = 'withdrawn') AS withdrawn
FROM deliveries FINAL
WHERE time >= fromUnixTimestamp64Micro({since:Int64}) AND time < fromUnixTimestamp64Micro({until:Int64})
GROUP BY channel
ORDER BY channel
