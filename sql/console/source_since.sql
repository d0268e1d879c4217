-- Since when are requests counted by source, if requests of the last hours came before?
-- The table is filled by the requests that are stored after its migration.
SELECT toUnixTimestamp64Micro(max(migrations.applied_at)) AS since
FROM schema_migrations AS migrations
WHERE name = '0021_source_usage.sql'
HAVING max(migrations.applied_at) >= now64(6) - toIntervalHour({hours:UInt32})
    AND max(migrations.applied_at) > (SELECT min(applied_at) FROM schema_migrations) + INTERVAL 1 HOUR
