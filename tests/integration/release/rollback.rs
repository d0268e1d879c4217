//! The release before on the database of a newer one.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use keywatch::store::Store;

use super::freeze::settings;
use super::frozen::{execute_all, frozen, keeping};
use crate::support::clickhouse::{TestDatabase, client, environment, lines};
use crate::support::service::{last_line, run};

/// The schema, but the times in it.
async fn schema(store: &Store) -> Vec<String> {
    let tables = "SELECT name, create_table_query FROM system.tables \
                  WHERE database = currentDatabase() ORDER BY name";
    let applied = "SELECT name, checksum FROM schema_migrations FINAL ORDER BY name";
    [lines(store, tables).await, lines(store, applied).await].concat()
}

/// Numbers of rows of all tables.
async fn sizes(store: &Store) -> Vec<String> {
    let sql = "SELECT name, total_rows FROM system.tables WHERE database = currentDatabase() \
               AND engine LIKE '%MergeTree' ORDER BY name";
    lines(store, sql).await
}

fn migrate(database: &TestDatabase) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keywatch"));
    command.arg("migrate").envs(environment(&database.config)).output().unwrap()
}

/// This binary stands for an old one: a migration that it does not know was applied.
#[tokio::test]
async fn an_older_binary_says_so_and_changes_nothing() {
    let database = frozen().await;
    keeping(&database).migrate().await.unwrap();
    let newer = "INSERT INTO schema_migrations (name, checksum) VALUES ('9999_later.sql', 'x')";
    client(&database.config).query(newer).execute().await.unwrap();
    let (schema_before, sizes_before) =
        (schema(&database.store).await, sizes(&database.store).await);

    let service = run(&settings(&database), Stdio::null());
    let sentence = "this database has migration 9999_later.sql, which this keywatch does not know";
    for output in [service, migrate(&database)] {
        assert!(!output.status.success());
        assert!(last_line(&output).contains(sentence), "{}", last_line(&output));
    }
    assert_eq!(schema(&database.store).await, schema_before);
    assert_eq!(sizes(&database.store).await, sizes_before);
}

/// Each migration since the release before can be taken back by the file of its name.
#[tokio::test]
async fn what_was_migrated_can_be_taken_back() {
    let database = frozen().await;
    let (schema_before, sizes_before) =
        (schema(&database.store).await, sizes(&database.store).await);
    let applied = keeping(&database).migrate().await.unwrap();
    assert_ne!(schema(&database.store).await, schema_before);
    for name in applied.iter().rev() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/rollback").join(name);
        let sql = fs::read_to_string(&path).unwrap_or_else(|_| panic!("no {}", path.display()));
        execute_all(&client(&database.config), &sql).await;
    }
    assert_eq!(schema(&database.store).await, schema_before);
    assert_eq!(sizes(&database.store).await, sizes_before);
}
