//! Tests the store while ClickHouse is away or is killed.

use std::time::Duration;

use keywatch::config::{ClickHouseConfig, Secret};
use keywatch::event::EventTime;
use keywatch::store::{Claim, Store, StoreError};
use tokio::sync::mpsc;

use super::batches::{USAGE_BY_HOUR, USAGE_BY_MINUTE, usage};
use super::samples::{batch, event, partition, varied_events};
use crate::support::clickhouse::{database, lines, start};
use crate::support::port::free_port;

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

/// SIGKILL ends the server at random points of a batch. Afterwards every event is stored exactly
/// once.
#[tokio::test]
async fn kills_in_the_middle_of_batches_lose_and_repeat_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = start(directory.path(), None).await;
    let config = server.config();
    let port = config.url.rsplit(':').next().unwrap().parse().unwrap();
    let store = Store::new(&config);
    store.migrate().await.unwrap();

    let events = varied_events(24_000, 0, EventTime::now().plus_seconds(-20_000.0), 0.5);
    let partition = partition(0);
    let (tell, mut told) = mpsc::unbounded_channel();
    let write = async {
        for part in events.chunks(2_000) {
            tell.send(()).unwrap();
            store.write_batch_until_done(&batch(&partition, part)).await.unwrap();
        }
    };
    let kill = async {
        for milliseconds in [0, 10, 40] {
            for _batch in 0..3 {
                told.recv().await.unwrap();
            }
            // The sleep only varies the step that the kill interrupts: the result must not depend
            // on it.
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            drop(server);
            server = start(directory.path(), Some(port)).await;
        }
        server
    };
    let ((), _server) = tokio::join!(write, kill);

    let counts = "SELECT count(), uniqExact(record_offset) FROM access_events";
    assert_eq!(lines(&store, counts).await, ["24000 24000"]);
    assert_eq!(lines(&store, USAGE_BY_MINUTE).await, usage(&events, 60));
    assert_eq!(lines(&store, USAGE_BY_HOUR).await, usage(&events, 3_600));
    let progress = store.progress(&partition, &Claim::default()).await.unwrap();
    assert_eq!(progress.in_doubt, None);
}
