#!/usr/bin/env bash
# Makes the roles of sql/roles.sql and the user `grafana` in the ClickHouse of docker-compose.yml.
# Run it once, after keywatch has made its tables. It may be repeated.
set -euo pipefail
cd "$(dirname "$0")/../.."
set -a && . ./.env && set +a

query() {
    docker compose exec -T -e CLICKHOUSE_PASSWORD clickhouse \
        clickhouse-client --user keywatch --database keywatch --multiquery
}

query <sql/roles.sql
# The password has letters and digits alone (deploy/secrets.sh).
query <<SQL
CREATE USER IF NOT EXISTS grafana;
ALTER USER grafana IDENTIFIED BY '$GRAFANA_CLICKHOUSE_PASSWORD';
GRANT keywatch_analyst TO grafana;
SQL
