//! Tests that a running service judges by the registry in ClickHouse.

use std::fs;

use keywatch::event::EventTime;
use reqwest::Client;
use serde_json::{Value, json};

use crate::keys_cli::run;
use crate::support::clickhouse::{TestDatabase, database, lines};
use crate::support::eventually::{LIMIT, eventually};
use crate::support::service::Service;
use crate::support::settings::Settings;

fn settings(database: &TestDatabase) -> Settings {
    Settings::new(&database.config)
        .set("source.kind", "http")
        .set("source.http.listen", "127.0.0.1:0")
}

/// Sends requests and waits until they and their alerts are stored.
async fn send(service: &Service, events: &[Value]) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let address = service.logged_address("accepting events at POST /v1/events");
    let body: String = events.iter().map(|event| format!("{event}\n")).collect();
    let request = Client::new()
        .post(format!("http://{address}/v1/events"))
        .header("content-type", "application/x-ndjson")
        .body(body);
    assert_eq!(request.send().await.unwrap().status(), 200);
}

fn request(name: &str, key: &str, ip: &str, status: u16) -> Value {
    json!({
        "time": EventTime::now(), name: key, "client_ip": ip, "method": "GET",
        "path": "/v1/orders", "status": status,
    })
}

#[tokio::test]
async fn a_running_service_judges_by_a_change_without_a_restart() {
    let database = database().await;
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(&settings(&database));
    send(&service, &[request("key_id", "ak", "203.0.113.9", 200)]).await;
    let alerts = "SELECT count() FROM alerts WHERE has(detectors, 'policy.ip_not_allowed')";
    assert_eq!(lines(&database.store, alerts).await, ["0"]);
    let key = r#"{"key_id":"ak","allowed_cidrs":["10.0.0.0/8"],"api_key":"sk_1"}"#;
    fs::write(folder.path().join("keys.jsonl"), key).unwrap();
    run(&database, folder.path(), &["import", "keys.jsonl"]).succeeded();
    eventually("the service knows the rule", LIMIT, async || {
        send(&service, &[request("key_id", "ak", "203.0.113.9", 200)]).await;
        lines(&database.store, alerts).await == ["1"]
    })
    .await;
    // The raw key, the hash of it and the public id are one key.
    let hash = lines(&database.store, "SELECT key_hash FROM api_keys").await.concat();
    let events = [
        request("api_key", "sk_1", "10.0.0.1", 401),
        request("key_id", &hash, "10.0.0.1", 200),
        request("key_id", "ak", "10.0.0.1", 200),
        request("api_key", "sk_2", "10.0.0.1", 401),
    ];
    send(&service, &events).await;
    let ids = "SELECT key_id, count() FROM access_events WHERE client_ip = toIPv6('10.0.0.1') \
        GROUP BY key_id ORDER BY count() DESC";
    let ids = lines(&database.store, ids).await;
    assert_eq!(ids[0], "ak 3");
    assert_eq!(ids.len(), 2, "{ids:?}");
    assert!(service.terminate().0.success());
}

#[tokio::test]
async fn a_registry_file_counts_before_the_table_and_is_read_again_when_it_is_replaced() {
    let database = database().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file.jsonl");
    let allowing = |net: &str| format!("{{\"key_id\":\"ak\",\"allowed_cidrs\":[\"{net}\"]}}\n");
    fs::write(&file, allowing("10.0.0.0/8")).unwrap();
    fs::write(folder.path().join("table.jsonl"), allowing("192.0.2.0/24")).unwrap();
    run(&database, folder.path(), &["import", "table.jsonl"]).succeeded();
    let service =
        Service::start(&settings(&database).set("detect.registry_file", file.to_str().unwrap()));
    let alerts = "SELECT count() FROM alerts";
    send(&service, &[request("key_id", "ak", "10.1.1.1", 200)]).await;
    assert_eq!(lines(&database.store, alerts).await, ["0"]);
    fs::write(&file, allowing("172.16.0.0/12")).unwrap();
    service.wait_for_log("the key registry's file was replaced and read again");
    send(&service, &[request("key_id", "ak", "10.1.1.2", 200)]).await;
    assert_eq!(lines(&database.store, alerts).await, ["1"]);
    assert!(service.terminate().0.success());
}
