use std::net::TcpListener;

use keywatch::config::{ClickHouseConfig, Secret};
use keywatch::event::EventTime;
use keywatch::store::{Store, StoreError};

use super::samples::{batch, event, partition};
use crate::support::clickhouse::{database, lines, start};

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_wrong_password_is_told_at_once() {
    let database = database().await;
    let password = Secret::new("not-the-password");
    let store = Store::new(&ClickHouseConfig { password, ..database.config.clone() });
    let error = store.wait_until_ready().await.unwrap_err();
    assert!(matches!(error, StoreError::AccessDenied { .. }), "{error}");
    assert!(!error.is_retryable());
    assert!(!error.to_string().contains("not-the-password"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_down_is_worth_waiting_for() {
    let url = format!("http://127.0.0.1:{}", free_port());
    let store = Store::new(&ClickHouseConfig { url: url.clone(), ..ClickHouseConfig::default() });
    let events = [event(0, EventTime::now(), "key-a")];
    let error = store.write_batch(&batch(&partition(0), &events)).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!(error.to_string().contains(&url), "{error}");
}

#[tokio::test]
async fn a_database_without_tables_names_the_command_that_makes_them() {
    let database = database().await;
    let config = ClickHouseConfig { database: "nowhere".into(), ..database.config.clone() };
    let events = [event(0, EventTime::now(), "key-a")];
    let error = Store::new(&config).write_batch(&batch(&partition(0), &events)).await.unwrap_err();
    assert!(!error.is_retryable());
    assert!(error.to_string().contains("keywatch migrate"), "{error}");
}

#[tokio::test]
async fn a_batch_waits_for_the_server_and_is_stored_once() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(directory.path(), None).await;
    let config = server.config();
    let port = config.url.rsplit(':').next().unwrap().parse().unwrap();
    let store = Store::new(&config);
    store.migrate().await.unwrap();
    drop(server);

    let events = [event(0, EventTime::now(), "key-a")];
    let partition = partition(0);
    let batch = batch(&partition, &events);
    let write = store.write_batch_until_done(&batch);
    let (written, _server) = tokio::join!(write, start(directory.path(), Some(port)));
    written.unwrap();
    assert_eq!(lines(&store, "SELECT count() FROM access_events").await, ["1"]);
}
