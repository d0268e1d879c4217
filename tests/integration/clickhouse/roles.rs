//! Checks `sql/roles.sql` as far as the embedded engine can: it has no storage for roles, so that it
//! parses each statement and knows each table, and nobody logs in.

use std::collections::BTreeSet;

use crate::support::clickhouse::{database, lines};

const ROLES: &str = include_str!("../../../sql/roles.sql");

/// The statements, without their comments.
fn statements() -> Vec<String> {
    let is_code = |line: &&str| !line.trim_start().starts_with("--");
    let code: Vec<&str> = ROLES.lines().filter(is_code).collect();
    let statements = code.join("\n");
    statements.split(';').map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

#[tokio::test]
async fn clickhouse_reads_every_statement() {
    let database = database().await;
    for statement in statements() {
        let tree = database.store.query_table(&format!("EXPLAIN AST {statement}"), &[]).await;
        assert!(tree.is_ok(), "{statement}: {tree:?}");
    }
}

#[tokio::test]
async fn an_analyst_reads_every_table_but_accounts_saved_state_and_what_processes_agree_by() {
    let database = database().await;
    let granted: BTreeSet<String> = statements()
        .iter()
        .filter_map(|it| it.strip_prefix("GRANT SELECT ON ")?.strip_suffix(" TO keywatch_analyst"))
        .map(str::to_owned)
        .collect();
    let sql = "SELECT name FROM system.tables WHERE database = currentDatabase() \
               AND name NOT LIKE 'state\\_%' AND engine != 'MaterializedView'";
    let internal = [
        // Hashes of passwords.
        "account_uses",
        "accounts",
        "alert_heirs",
        "http_requests",
        "partition_owners",
        "process_beats",
        "schema_migrations",
        "source_attempts",
    ];
    let tables = lines(&database.store, sql).await.into_iter();
    let expected: BTreeSet<String> =
        tables.filter(|table| !internal.contains(&table.as_str())).collect();
    assert_eq!(granted, expected);
}
