-- Roles for people and dashboards that read Keywatch's tables. Not a migration: an administrator
-- of the server runs it, after `keywatch migrate`, and grants the roles to users:
--
--   clickhouse-client --database keywatch --multiquery < sql/roles.sql
--   clickhouse-client --query "CREATE USER alice IDENTIFIED BY '...'"
--   clickhouse-client --query "GRANT keywatch_analyst TO alice"
--
-- Every statement may be repeated. Both roles only read, each query within limits that its user may
-- lower and not raise, and each user within a quota.
CREATE SETTINGS PROFILE OR REPLACE keywatch_reader SETTINGS
    readonly = 2 CONST,
    max_execution_time = 60 MIN 1 MAX 60,
    max_memory_usage = 4000000000 MIN 1 MAX 4000000000,
    max_result_rows = 10000000 MIN 1 MAX 10000000,
    max_threads = 4 MIN 1 MAX 4,
    priority = 10 CONST;

CREATE ROLE IF NOT EXISTS keywatch_analyst SETTINGS PROFILE keywatch_reader;

CREATE ROLE IF NOT EXISTS keywatch_tenant SETTINGS PROFILE keywatch_reader;

CREATE QUOTA OR REPLACE keywatch_reader KEYED BY user_name
    FOR INTERVAL 1 hour MAX queries = 5000, execution_time = 3600, read_rows = 100000000000
    TO keywatch_analyst, keywatch_tenant;

-- An analyst reads what is stored, not the saved profiles (`state_*`), nor accounts of the console,
-- nor the tables by which processes agree.
GRANT SELECT ON access_events TO keywatch_analyst;
GRANT SELECT ON key_usage_minute TO keywatch_analyst;
GRANT SELECT ON key_usage_hour TO keywatch_analyst;
GRANT SELECT ON source_usage_hour TO keywatch_analyst;
GRANT SELECT ON alerts TO keywatch_analyst;
GRANT SELECT ON deliveries TO keywatch_analyst;
GRANT SELECT ON incident_acts TO keywatch_analyst;
GRANT SELECT ON revocation_requests TO keywatch_analyst;
GRANT SELECT ON ingest_batches TO keywatch_analyst;
GRANT SELECT ON rejected_events TO keywatch_analyst;
GRANT SELECT ON suppressions TO keywatch_analyst;
GRANT SELECT ON process_starts TO keywatch_analyst;
GRANT SELECT ON audit_log TO keywatch_analyst;
GRANT SELECT ON audit_sources TO keywatch_analyst;
GRANT SELECT ON api_keys TO keywatch_analyst;
GRANT SELECT ON api_key_rows TO keywatch_analyst;
GRANT SELECT ON key_events TO keywatch_analyst;
GRANT SELECT ON key_event_rows TO keywatch_analyst;
GRANT SELECT ON key_changes TO keywatch_analyst;
GRANT SELECT ON key_feed_rows TO keywatch_analyst;
GRANT SELECT ON key_scope_day TO keywatch_analyst;
GRANT SELECT ON incident_standing TO keywatch_analyst;
GRANT SELECT ON incident_states TO keywatch_analyst;
GRANT SELECT ON key_usage_1h TO keywatch_analyst;
GRANT SELECT ON incidents TO keywatch_analyst;
GRANT SELECT ON key_timeline TO keywatch_analyst;
GRANT SELECT ON source_abuse TO keywatch_analyst;
GRANT SELECT ON ingest_completeness TO keywatch_analyst;

-- A person of one tenant reads the requests and alerts of that tenant: the name after
-- `tenant_` in the name of the user (`CREATE USER tenant_acme ...`). Rollups name no tenant, and
-- incidents about sources name keys of all, so that this role does not read them.
GRANT SELECT ON access_events TO keywatch_tenant;
GRANT SELECT ON alerts TO keywatch_tenant;
GRANT SELECT ON source_abuse TO keywatch_tenant;

CREATE ROW POLICY OR REPLACE keywatch_tenant ON access_events
    USING concat('tenant_', tenant) = currentUser() TO keywatch_tenant;

CREATE ROW POLICY OR REPLACE keywatch_tenant ON alerts
    USING concat('tenant_', tenant) = currentUser() TO keywatch_tenant;

-- Where a table has a row policy, whoever has none would otherwise read nothing.
CREATE ROW POLICY OR REPLACE keywatch_others ON access_events USING true TO ALL EXCEPT keywatch_tenant;

CREATE ROW POLICY OR REPLACE keywatch_others ON alerts USING true TO ALL EXCEPT keywatch_tenant;
