//! Imports logs that are older than the retention.

use std::fs;
use std::process::Stdio;

use keywatch::event::{DAY_SECONDS, EventTime};
use serde_json::json;

use crate::support::clickhouse::{client, unmigrated};
use crate::support::service::{last_line, run};
use crate::support::settings::Settings;
use crate::support::stored::count;

#[tokio::test]
async fn a_log_whose_rows_would_be_deleted_is_refused_and_kept_on_demand() {
    let database = unmigrated().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("last_spring.jsonl");
    let event = |days: f64| {
        json!({
            "time": EventTime::now().plus_seconds(-days * DAY_SECONDS).as_micros(),
            "key_id": "key-a", "client_ip": "192.0.2.1", "method": "GET", "path": "/",
            "status": 200,
        })
    };
    fs::write(&log, format!("{}\n{}\n", event(1.0), event(200.0))).unwrap();
    let settings = Settings::new(&database.config).files(&[&log]);
    let output = run(&settings, Stdio::null());
    assert_eq!(output.status.code(), Some(1));
    let said = last_line(&output);
    assert!(said.contains("older than 30 days") && said.contains("raw_retention_days"), "{said}");
    assert_eq!(count(&database.store, "access_events").await, 0);

    let output = run(&settings.set("clickhouse.raw_retention_days", 0), Stdio::null());
    assert!(output.status.success(), "{}", last_line(&output));
    let merge = "OPTIMIZE TABLE access_events FINAL";
    client(&database.config).query(merge).execute().await.unwrap();
    assert_eq!(count(&database.store, "access_events").await, 2);
}
