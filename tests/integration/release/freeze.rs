//! Writes the fixture: lets a release store a log, and copies its tables.
//!
//! ```sh
//! KEYWATCH_RELEASE_BINARY=/path/to/keywatch cargo test --test integration -- release::freeze --ignored
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::frozen::{LAST, folder};
use crate::support::clickhouse::{TestDatabase, environment, lines, unmigrated};
use crate::support::eventually::{LIMIT, eventually};
use crate::support::service::Service;
use crate::support::settings::Settings;
use crate::support::stored::{count, wait_for_rows};
use crate::support::traffic::{REPLAYED_KEY, Traffic};

#[tokio::test]
#[ignore = "writes a fixture"]
async fn freeze() {
    let binary = std::env::var_os("KEYWATCH_RELEASE_BINARY");
    let binary = PathBuf::from(binary.expect("KEYWATCH_RELEASE_BINARY is the release to freeze"));
    let database = unmigrated().await;
    let service = Service::start_program(&binary, &settings(&database));
    let events = Traffic::attacks();
    let address = service.logged_address("accepting events at POST /v1/events");
    post(&address, &events).await;
    wait_for_rows(&database.store, "access_events", events.events.len()).await;
    eventually("alerts and state", LIMIT, async || {
        count(&database.store, "alerts").await > 0
            && count(&database.store, "state_rounds").await > 0
    })
    .await;
    people(&binary, &database).await;
    let (status, log) = service.terminate();
    assert!(status.success(), "{log}");
    write(&database).await;
}

pub fn settings(database: &TestDatabase) -> Settings {
    Settings::new(&database.config)
        .set("clickhouse.raw_retention_days", 0)
        .set("source.kind", "http")
        .set("source.http.listen", "127.0.0.1:0")
        .snapshot_seconds(1)
}

pub async fn post(address: &str, traffic: &Traffic) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let body: String = traffic.events.iter().map(|event| event.to_string() + "\n").collect();
    let request = reqwest::Client::new().post(format!("http://{address}/v1/events"));
    let request = request.header("content-type", "application/x-ndjson").body(body);
    let answer = request.send().await.unwrap();
    let (status, said) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 200, "{said}");
}

/// Acts of people, so that their tables have rows.
async fn people(binary: &Path, database: &TestDatabase) {
    let sql = format!("SELECT id FROM alerts WHERE key_id = '{REPLAYED_KEY}' LIMIT 1");
    let id = lines(&database.store, &sql).await.remove(0);
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys.jsonl");
    let row = format!("{{\"key_id\": \"{REPLAYED_KEY}\", \"owner\": \"payments\"}}\n");
    fs::write(&keys, row).unwrap();
    let commands: [&[&str]; 5] = [
        &["keys", "import", keys.to_str().unwrap()],
        &["keys", "event", REPLAYED_KEY, "secret_read", "-m", "by hand", "--by", "ann"],
        &["alerts", "ack", &id, "--by", "ann"],
        &[
            "alerts", "suppress", "--key", "ak-none", "--until", "300d", "-m", "x", "--yes",
            "--by", "ann",
        ],
        &["users", "add", "grafana", "--role", "viewer", "--token", "--by", "ann"],
    ];
    for arguments in commands {
        let output = Command::new(binary)
            .args(arguments)
            .envs(environment(&database.config))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
}

async fn write(database: &TestDatabase) {
    let applied = "SELECT max(name) FROM schema_migrations";
    assert_eq!(
        lines(&database.store, applied).await,
        [LAST],
        "set LAST to the release's migration"
    );
    fs::create_dir_all(folder()).unwrap();
    let tables = "SELECT name FROM system.tables WHERE database = currentDatabase() \
                  AND engine LIKE '%MergeTree' AND total_rows > 0 ORDER BY name";
    for table in lines(&database.store, tables).await {
        let mut rows = Vec::new();
        let sql = format!("SELECT * FROM {table}");
        database.store.copy_query(&sql, &[], "Native", &mut rows).await.unwrap();
        let packed = zstd::encode_all(&*rows, 19).unwrap();
        fs::write(folder().join(format!("{table}.native.zst")), packed).unwrap();
    }
}
