//! A database as the release before left it.

use std::fs;
use std::path::{Path, PathBuf};

use clickhouse::Client;
use keywatch::config::ClickHouseConfig;
use keywatch::event::EventTime;
use keywatch::store::Store;
use sha2::{Digest, Sha256};

use crate::support::clickhouse::{TestDatabase, client, lines, unmigrated};

/// The last migration of the release before.
pub const LAST: &str = "0020_audit.sql";

/// The table is not part of a migration.
const MIGRATIONS: &str = "CREATE TABLE schema_migrations \
    (name String, checksum String, applied_at DateTime64(6, 'UTC') DEFAULT now64(6)) \
    ENGINE = ReplacingMergeTree ORDER BY name";

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/release").join(&LAST[..4])
}

/// Creates the tables of that release and fills them.
pub async fn frozen() -> TestDatabase {
    let database = unmigrated().await;
    let (name, server) =
        (&database.config.database, client(&database.config).with_database("default"));
    server.query(&format!("CREATE DATABASE {name}")).execute().await.unwrap();
    let client = client(&database.config);
    execute_all(&client, MIGRATIONS).await;
    for file in migrations() {
        let sql = fs::read_to_string(&file).unwrap();
        execute_all(&client, &sql).await;
    }
    keep_for_ever(&database, &client).await;
    fill(&database, &client).await;
    check_files(&database).await;
    database
}

/// The files of the release in order.
fn migrations() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let of_release = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(|c: char| c.is_ascii_digit()) && name <= LAST
    };
    let mut files: Vec<PathBuf> = files.filter(of_release).collect();
    files.sort();
    files
}

/// A store that deletes no row for its age.
pub fn keeping(database: &TestDatabase) -> Store {
    Store::new(&ClickHouseConfig { raw_retention_days: 0, ..database.config.clone() })
}

pub async fn execute_all(client: &Client, sql: &str) {
    for statement in sql.split(";\n").map(str::trim).filter(|it| !it.is_empty()) {
        client.query_raw(statement).execute().await.unwrap();
    }
}

/// The rows have the times of the day on which they were frozen.
async fn keep_for_ever(database: &TestDatabase, client: &Client) {
    let sql = "SELECT name FROM system.tables WHERE database = currentDatabase() \
               AND engine_full LIKE '% TTL %' AND engine LIKE '%MergeTree'";
    for table in lines(&database.store, sql).await {
        let sql = format!("ALTER TABLE {table} REMOVE TTL");
        client.query(&sql).execute().await.unwrap();
    }
}

/// Inserts the rows. Views must not count what the rollups hold already.
async fn fill(database: &TestDatabase, client: &Client) {
    let views = "SELECT name FROM system.tables WHERE database = currentDatabase() \
                 AND engine = 'MaterializedView'";
    let views = lines(&database.store, views).await;
    for view in &views {
        client.query(&format!("DETACH TABLE {view}")).execute().await.unwrap();
    }
    client.query("TRUNCATE TABLE process_beats").execute().await.unwrap();
    for (table, rows) in tables() {
        insert(database, &table, rows).await;
    }
    for view in &views {
        client.query(&format!("ATTACH TABLE {view}")).execute().await.unwrap();
    }
}

/// The tables of the fixture with their rows.
fn tables() -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        let table = path.file_name()?.to_str()?.strip_suffix(".native.zst")?.to_owned();
        Some((table, zstd::decode_all(fs::File::open(&path).unwrap()).unwrap()))
    };
    files.filter_map(read).collect()
}

async fn insert(database: &TestDatabase, table: &str, rows: Vec<u8>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = &database.config;
    let url = format!("{}/?query=INSERT%20INTO%20{table}%20FORMAT%20Native", config.url);
    let request = reqwest::Client::new()
        .post(url)
        .header("x-clickhouse-user", &config.user)
        .header("x-clickhouse-key", config.password.reveal())
        .header("x-clickhouse-database", &config.database);
    let answer = request.body(rows).send().await.unwrap();
    let status = answer.status();
    assert!(status.is_success(), "{table}: {}", answer.text().await.unwrap());
}

/// A changed migration would make another schema than that of the release.
async fn check_files(database: &TestDatabase) {
    let sql = "SELECT name, checksum FROM schema_migrations FINAL ORDER BY name";
    let applied = lines(&database.store, sql).await;
    let files = migrations().into_iter().map(|path| {
        let checksum = hex::encode(Sha256::digest(fs::read(&path).unwrap()));
        format!("{} {checksum}", path.file_name().unwrap().to_str().unwrap())
    });
    assert_eq!(applied, files.collect::<Vec<_>>());
}

/// The time of the latest request.
pub async fn end(database: &TestDatabase) -> EventTime {
    let sql = "SELECT toUnixTimestamp64Micro(max(time)) FROM access_events";
    EventTime::from_micros(lines(&database.store, sql).await[0].parse().unwrap())
}
