-- Why actions were milder than the evidence asked, or waited.
-- since Int64 = 0
-- until Int64 = 0
SELECT toString(restraint) AS restraint, uniqExact(id) AS incidents
FROM alerts
WHERE restraint != ''
    AND detected_at >= fromUnixTimestamp64Micro({since:Int64}) AND detected_at < fromUnixTimestamp64Micro({until:Int64})
GROUP BY restraint
ORDER BY incidents DESC, restraint
