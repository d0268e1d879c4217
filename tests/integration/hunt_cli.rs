//! Tests `keywatch hunt` as a process, against the real ClickHouse engine.

use std::process::{Command, Output};

use keywatch::event::EventTime;
use serde_json::Value;

use crate::clickhouse::samples::{batch, event, partition};
use crate::support::clickhouse::{TestDatabase, database, environment};

fn run(database: &TestDatabase, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keywatch"))
        .arg("hunt")
        .args(arguments)
        .envs(environment(&database.config))
        .output()
        .unwrap()
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Requests of `key-a` an hour ago and ten days ago, and of a key whose name is hostile.
async fn with_requests() -> TestDatabase {
    let database = database().await;
    let now = EventTime::now();
    let mut events = [
        event(0, now.plus_seconds(-864_000.0), "key-a"),
        event(1, now.plus_seconds(-3_600.0), "key-a"),
        event(2, now.plus_seconds(-60.0), "'; DROP TABLE x\n\\%_"),
    ];
    events[1].event.path = "/v1/100%/a_b".into();
    database.store.write_batch(&batch(&partition(0), &events)).await.unwrap();
    database
}

#[tokio::test]
async fn a_hunt_prints_the_latest_requests_as_lines_or_json() {
    let database = with_requests().await;
    let lines = succeeded(&run(&database, &["--key", "key-a", "--since", "30d"]));
    let lines: Vec<Vec<&str>> = lines.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines[0][..4], ["time", "key_id", "address", "network"]);
    assert_eq!(
        lines[1][1..6],
        ["key-a", "192.0.2.1", "AS64500 Network 64500 DE", "GET /v1/100%/a_b", "200"]
    );
    assert_eq!(lines.len(), 3);

    let recent = succeeded(&run(&database, &["--key", "key-a", "--json"]));
    let row: Value = serde_json::from_str(recent.trim()).unwrap();
    assert_eq!((&row["path"], &row["bytes_out"]), (&"/v1/100%/a_b".into(), &2_000.into()));

    let limited = run(&database, &["--address", "192.0.2.0/24", "--limit", "1"]);
    assert_eq!(succeeded(&limited).lines().count(), 2);
    let said = String::from_utf8(limited.stderr).unwrap();
    assert!(said.contains("the latest 1 requests are shown"), "{said}");
}

#[tokio::test]
async fn values_are_taken_as_they_are() {
    let database = with_requests().await;
    let hostile = "'; DROP TABLE x\n\\%_";
    let found = succeeded(&run(&database, &["--key", hostile, "--json"]));
    let row: Value = serde_json::from_str(found.trim()).unwrap();
    assert_eq!(row["path"], "/v1/orders");
    let count =
        |route: &str| succeeded(&run(&database, &["--route", route, "--json"])).lines().count();
    assert_eq!(count("/v1/100%/a_b"), 1);
    assert_eq!(count("GET /v1/*"), 2);
    assert_eq!(count("POST /v1/*"), 0);
    assert_eq!(count("/v1/%"), 0, "only the star stands for any text");
    assert_eq!(count("/v1/100%/a?b"), 0);
}

#[tokio::test]
async fn a_file_holds_all_requests_in_the_format_of_its_name() {
    let database = with_requests().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for name in ["out.parquet", "out.jsonl", "out.csv"] {
        let out = path(name);
        succeeded(&run(
            &database,
            &["--key", "key-a", "--since", "30d", "--limit", "1", "--out", &out],
        ));
    }
    let parquet = std::fs::read(path("out.parquet")).unwrap();
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    let lines = |name: &str| std::fs::read_to_string(path(name)).unwrap().lines().count();
    assert_eq!((lines("out.jsonl"), lines("out.csv")), (2, 3));

    let refused = run(&database, &["--key", "key-a", "--out", &path("out.xlsx")]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("ends in .parquet, .jsonl or .csv"), "{said}");
}

#[tokio::test]
async fn a_hunt_for_everything_is_refused() {
    let database = database().await;
    let refused = run(&database, &["--since", "1h"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("--key"), "{said}");
}
