//! Tests how alerts and deliveries are stored and read back.

use keywatch::deliver::DeliveryLog;
use keywatch::deliver::record::{DeliveryOutcome, DeliveryRow};
use keywatch::event::EventTime;
use keywatch::store::{Store, StoredBatch};

use super::samples::{alert, partition, unclaimed};
use crate::support::clickhouse::{database, environment, lines};

fn delivery(id: &str, revision: u32, channel: &str, outcome: DeliveryOutcome) -> DeliveryRow {
    DeliveryRow {
        alert_id: id.into(),
        revision,
        channel: channel.into(),
        attempt: 1,
        outcome,
        detail: "250 accepted".into(),
        time: EventTime::now(),
        webhook_id: format!("{id}.{revision}"),
    }
}

async fn undelivered(store: &Store, channel: &str, since: EventTime) -> Vec<(String, u32)> {
    let alerts = store.undelivered_alerts(channel, since, 1_000).await.unwrap();
    alerts.into_iter().map(|alert| (alert.id, alert.revision)).collect()
}

#[tokio::test]
async fn an_alert_is_undelivered_until_it_is_delivered_or_given_up() {
    let database = database().await;
    let store = &database.store;
    let now = EventTime::now();
    let alerts = [
        alert("a", 1, "key-a", now.plus_seconds(-30.0)),
        alert("a", 2, "key-a", now.plus_seconds(-20.0)),
        alert("b", 1, "key-b", now.plus_seconds(-10.0)),
        alert("old", 1, "key-c", now.plus_seconds(-9_000.0)),
    ];
    let partition = partition(0);
    let batch =
        StoredBatch { first_offset: 0, last_offset: 9, alerts: &alerts, ..unclaimed(&partition) };
    store.write_batch(&batch).await.unwrap();
    let since = now.plus_seconds(-3_600.0);
    let all = [("a".to_owned(), 1), ("a".to_owned(), 2), ("b".to_owned(), 1)];
    assert_eq!(undelivered(store, "email", since).await, all);

    for row in [
        delivery("a", 1, "email", DeliveryOutcome::Delivered),
        delivery("a", 2, "email", DeliveryOutcome::Failed),
        delivery("b", 1, "email", DeliveryOutcome::GaveUp),
        delivery("b", 1, "webhook", DeliveryOutcome::Failed),
    ] {
        store.record_delivery(&row).await.unwrap();
    }
    assert_eq!(undelivered(store, "email", since).await, [("a".to_owned(), 2)]);
    assert_eq!(undelivered(store, "webhook", since).await, all);
}

#[tokio::test]
async fn an_alert_reads_back_whole() {
    let database = database().await;
    let written = alert("a", 1, "key-a", EventTime::now());
    let partition = partition(0);
    let batch = StoredBatch {
        first_offset: 0,
        last_offset: 0,
        alerts: std::slice::from_ref(&written),
        ..unclaimed(&partition)
    };
    database.store.write_batch(&batch).await.unwrap();
    let since = written.detected_at;
    let read = database.store.undelivered_alerts("email", since, 1_000).await.unwrap();
    assert_eq!(read, [written]);
    let columns = "SELECT key_id, severity, action, dry_run, detectors, source_ip FROM alerts";
    let expected = "key-a high notify true ['geo.impossible_travel','rate.spike'] 2001:db8::7";
    assert_eq!(lines(&database.store, columns).await, [expected]);
}

#[tokio::test]
async fn recording_an_attempt_twice_counts_once() {
    let database = database().await;
    let row = delivery("a", 1, "webhook", DeliveryOutcome::Failed);
    database.store.record_delivery(&row).await.unwrap();
    database.store.record_delivery(&row).await.unwrap();
    let sql = "SELECT count() FROM deliveries FINAL";
    assert_eq!(lines(&database.store, sql).await, ["1"]);
}

#[tokio::test]
async fn the_command_line_lists_open_alerts_and_shows_every_revision() {
    let database = database().await;
    let now = EventTime::now();
    let alerts = [alert("a", 1, "key-a", now.plus_seconds(-30.0)), alert("a", 2, "key-a", now)];
    let partition = partition(0);
    let batch =
        StoredBatch { first_offset: 0, last_offset: 9, alerts: &alerts, ..unclaimed(&partition) };
    database.store.write_batch(&batch).await.unwrap();
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_keywatch"))
            .arg("alerts")
            .args(arguments)
            .envs(environment(&database.config))
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };

    let (code, listed, _) = run(&["list"]);
    assert_eq!(code, Some(0));
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 2, "{listed}");
    assert!(lines[0].starts_with("id\tabout\t") && lines[1].starts_with("a\tkey-a\t"), "{listed}");

    let (_, shown, _) = run(&["show", "a"]);
    let shown: Vec<serde_json::Value> =
        shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(shown, alerts.map(|alert| serde_json::to_value(alert).unwrap()));

    let (code, _, error) = run(&["show", "nothing"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("no alert has the id nothing"), "{error}");
}
