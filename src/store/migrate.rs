//! Applies the numbered files of `sql/`, once each and in order. On a cluster, each statement is
//! rewritten and executed on every server.

use clickhouse::Row;
use clickhouse::sql::Identifier;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cluster::{Nodes, stored_as};
use super::{Store, StoreError};

struct Migration {
    name: &'static str,
    sql: &'static str,
}

macro_rules! migrations {
    ($($name:literal),* $(,)?) => {
        &[$(Migration { name: $name, sql: include_str!(concat!("../../sql/", $name)) }),*]
    };
}

/// The migrations in the order in which they are applied. Add a new file at the end.
const MIGRATIONS: &[Migration] = migrations![
    "0001_access_events.sql",
    "0002_ingest_ledger.sql",
    "0003_alerts.sql",
    "0004_usage_rollups.sql",
    "0005_ownership.sql",
    "0006_state_snapshots.sql",
    "0007_replay_lookup.sql",
    "0008_source_attempts.sql",
    "0009_revocation_requests.sql",
    "0010_proof_of_use.sql",
    "0011_incident_acts.sql",
    "0012_gone_processes.sql",
    "0013_responses.sql",
    "0014_suppressions.sql",
    "0015_key_registry.sql",
    "0016_http_requests.sql",
    "0017_analyst_views.sql",
    "0018_key_feed.sql",
    "0019_accounts.sql",
    "0020_audit.sql",
    "0021_source_usage.sql",
];

const CREATE_MIGRATIONS_TABLE: &str = "\
    CREATE TABLE IF NOT EXISTS schema_migrations \
    (name String, checksum String, applied_at DateTime64(6, 'UTC') DEFAULT now64(6)) \
    ENGINE = ReplacingMergeTree ORDER BY name";

/// A TTL is a `DateTime`, which ends in 2106 and then wraps to 1970. ClickHouse would delete
/// today's rows at once if their TTL were later.
const MAX_RETENTION_DAYS: u32 = 10_000;

/// Tables that are kept as long as raw events, and their columns of time. Addresses are personal
/// data: who keeps requests for a week keeps no account of their addresses for longer.
const KEPT_AS_RAW: [(&str, &str); 2] = [("access_events", "time"), ("source_usage_hour", "hour")];

impl Migration {
    /// Returns the SHA-256 of the file in hexadecimal.
    fn checksum(&self) -> String {
        hex::encode(Sha256::digest(self.sql))
    }

    /// Returns the statements. Each ends with `;` at the end of a line.
    fn statements(&self) -> impl Iterator<Item = &'static str> {
        self.sql.split(";\n").map(str::trim).filter(|statement| !statement.is_empty())
    }
}

#[derive(Clone, Row, Serialize, Deserialize)]
struct AppliedRow {
    name: String,
    checksum: String,
}

impl Store {
    /// Creates the database and applies the missing migrations. Returns the names of the files it
    /// applied. It may safely be repeated, interrupted or run by two processes at once.
    ///
    /// # Errors
    /// [`StoreError::ChangedMigration`] and [`StoreError::UnknownMigration`] when database and
    /// binary do not match; otherwise the error of ClickHouse.
    pub async fn migrate(&self) -> Result<Vec<&'static str>, StoreError> {
        self.check_form().await?;
        let applied = match self.cluster {
            // One server of a cluster may be away when there is nothing to do.
            Some(_) if self.is_up_to_date().await? => Vec::new(),
            _ => self.apply_missing(&self.nodes().await?).await?,
        };
        self.apply_retention().await?;
        Ok(applied)
    }

    async fn is_up_to_date(&self) -> Result<bool, StoreError> {
        match self.applied_migrations().await {
            Ok(applied) => Ok(missing(MIGRATIONS, &applied)?.is_empty()),
            Err(StoreError::NotMigrated { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn apply_missing(&self, nodes: &Nodes) -> Result<Vec<&'static str>, StoreError> {
        nodes.create_database().await?;
        nodes.execute(CREATE_MIGRATIONS_TABLE, "creating schema_migrations").await?;
        let applied = self.applied_migrations().await?;
        let missing = missing(MIGRATIONS, &applied)?;
        for migration in &missing {
            self.apply(migration, nodes).await?;
        }
        Ok(missing.iter().map(|migration| migration.name).collect())
    }

    pub(super) async fn create_database(&self) -> Result<(), StoreError> {
        self.server()
            .query("CREATE DATABASE IF NOT EXISTS ?")
            .bind(Identifier(&self.database))
            .execute()
            .await
            .map_err(|error| self.error("creating the database", &error))
    }

    async fn applied_migrations(&self) -> Result<Vec<AppliedRow>, StoreError> {
        self.client
            .query("SELECT ?fields FROM schema_migrations FINAL ORDER BY name")
            .fetch_all()
            .await
            .map_err(|error| self.error("reading schema_migrations", &error))
    }

    async fn apply(&self, migration: &Migration, nodes: &Nodes) -> Result<(), StoreError> {
        for statement in migration.statements() {
            nodes.execute(statement, migration.name).await?;
        }
        let row = AppliedRow { name: migration.name.into(), checksum: migration.checksum() };
        self.insert::<AppliedRow>("schema_migrations", "", [row]).await?;
        tracing::info!(migration = migration.name, "applied");
        Ok(())
    }

    /// Sets how many days raw events, and their addresses by hour, are kept (0: for ever), unless a
    /// table has that value already: a change of the TTL makes ClickHouse check every part.
    async fn apply_retention(&self) -> Result<(), StoreError> {
        let days = self.raw_retention_days;
        if days > MAX_RETENTION_DAYS {
            return Err(StoreError::Retention { days, max: MAX_RETENTION_DAYS });
        }
        for (table, column) in KEPT_AS_RAW {
            self.keep(table, column, days).await?;
        }
        Ok(())
    }

    async fn keep(&self, table: &str, column: &str, days: u32) -> Result<(), StoreError> {
        let doing = format!("setting the retention of {table}");
        let engine: String = self
            .client
            .query("SELECT engine_full FROM system.tables WHERE database = ? AND name = ?")
            .bind(&self.database)
            .bind(self.table_of_rows(table))
            .fetch_one()
            .await
            .map_err(|error| self.error(&doing, &error))?;
        let is_limited = engine.contains(" TTL ");
        let sql = match days {
            0 if is_limited => format!("ALTER TABLE {table} REMOVE TTL"),
            0 => return Ok(()),
            _ if engine.contains(&format!("toIntervalDay({days})")) => return Ok(()),
            _ => {
                format!("ALTER TABLE {table} MODIFY TTL toDateTime({column}) + INTERVAL {days} DAY")
            }
        };
        self.nodes().await?.execute(&sql, &doing).await
    }

    /// The table that has the rows of `table`: on a cluster, the one on each server.
    fn table_of_rows(&self, table: &str) -> String {
        match self.cluster {
            Some(_) => stored_as(table),
            None => table.to_owned(),
        }
    }

    pub(super) async fn execute(&self, sql: &str, doing: &str) -> Result<(), StoreError> {
        // The query is raw, because a question mark in SQL is not a placeholder here.
        self.client.query_raw(sql).execute().await.map_err(|error| self.error(doing, &error))
    }
}

/// The names of all migrations, in their order.
pub(super) fn names_of_migrations() -> impl Iterator<Item = &'static str> {
    MIGRATIONS.iter().map(|migration| migration.name)
}

/// Returns the statements of all migrations.
#[cfg(test)]
pub(super) fn all_statements() -> impl Iterator<Item = &'static str> {
    MIGRATIONS.iter().flat_map(Migration::statements).chain([CREATE_MIGRATIONS_TABLE])
}

/// Returns the migrations that are not yet applied.
fn missing<'a>(
    known: &'a [Migration],
    applied: &[AppliedRow],
) -> Result<Vec<&'a Migration>, StoreError> {
    for row in applied {
        match known.iter().find(|migration| migration.name == row.name) {
            None => return Err(StoreError::UnknownMigration { name: row.name.clone() }),
            Some(migration) if migration.checksum() != row.checksum => {
                return Err(StoreError::ChangedMigration { name: row.name.clone() });
            }
            Some(_) => {}
        }
    }
    let is_missing = |migration: &&Migration| !applied.iter().any(|row| row.name == migration.name);
    Ok(known.iter().filter(is_missing).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const ONE: Migration = Migration { name: "0001_one.sql", sql: "SELECT 1;\nSELECT\n 2;\n" };
    const TWO: Migration = Migration { name: "0002_two.sql", sql: "SELECT 3;\n" };

    fn applied(migration: &Migration) -> AppliedRow {
        AppliedRow { name: migration.name.into(), checksum: migration.checksum() }
    }

    #[test]
    fn only_what_was_not_applied_is_missing() {
        let known = [ONE, TWO];
        let missing = missing(&known, &[applied(&ONE)]).unwrap();
        assert_eq!(missing.iter().map(|m| m.name).collect::<Vec<_>>(), ["0002_two.sql"]);
    }

    #[test]
    fn a_changed_file_is_an_error() {
        let changed = Migration { sql: "SELECT 9;\n", ..ONE };
        let error = missing(&[changed], &[applied(&ONE)]).err().unwrap();
        assert!(matches!(error, StoreError::ChangedMigration { name } if name == "0001_one.sql"));
    }

    #[test]
    fn a_database_newer_than_the_binary_is_an_error() {
        let error = missing(&[ONE], &[applied(&ONE), applied(&TWO)]).err().unwrap();
        assert!(matches!(error, StoreError::UnknownMigration { name } if name == "0002_two.sql"));
    }

    #[test]
    fn statements_end_at_line_ends() {
        assert_eq!(ONE.statements().collect::<Vec<_>>(), ["SELECT 1", "SELECT\n 2"]);
    }

    #[test]
    fn files_are_numbered_without_gaps_and_listed_completely() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/sql");
        let mut files: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".sql") && name.starts_with(|c: char| c.is_ascii_digit()))
            .collect();
        files.sort();
        let listed: Vec<&str> = MIGRATIONS.iter().map(|migration| migration.name).collect();
        assert_eq!(files, listed);
        for (number, name) in listed.iter().enumerate() {
            assert!(name.starts_with(&format!("{:04}_", number + 1)), "{name}");
        }
    }
}
