-- Takes back 0021_source_usage.sql, so that the release before it starts again. What is lost: the
-- figures of the page of a source. Stop every `keywatch run` of the newer release first.
DROP VIEW IF EXISTS source_usage_hour_view;

DROP TABLE IF EXISTS source_usage_hour;

ALTER TABLE schema_migrations DELETE WHERE name = '0021_source_usage.sql' SETTINGS mutations_sync = 1;
