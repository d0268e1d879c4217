//! Tests the queries about incidents, people and deliveries.

use keywatch::alert::{Alert, Severity};
use keywatch::deliver::DeliveryLog;
use keywatch::deliver::record::{DeliveryOutcome, DeliveryRow};
use keywatch::store::StoredBatch;
use keywatch::workflow::{Act, Kind};

use super::{answer, execute, hours_ago};
use crate::clickhouse::acts::act;
use crate::clickhouse::samples::{alert, partition, unclaimed};
use crate::support::clickhouse::{TestDatabase, database};

async fn stored_alerts() -> TestDatabase {
    let database = database().await;
    let at = hours_ago(2.0);
    let mut resolved = alert("two", 2, "key-b", at.plus_seconds(60.0));
    resolved.alert_type = keywatch::alert::AlertType::Resolved;
    let mut source = alert("three", 1, "", at);
    (source.key_id, source.risk) = (None, 40.0);
    source.source_ip = Some("198.51.100.200".parse().unwrap());
    let alerts = [
        source,
        alert("one", 1, "key-a", at),
        alert("one", 2, "key-a", at.plus_seconds(30.0)),
        alert("two", 1, "key-b", at),
        resolved,
    ];
    let partition = partition(0);
    let batch =
        StoredBatch { first_offset: 0, last_offset: 9, alerts: &alerts, ..unclaimed(&partition) };
    database.store.write_batch(&batch).await.unwrap();
    database
}

#[tokio::test]
async fn alert_timeline() {
    let database = stored_alerts().await;
    let columns = ["id", "revision", "type", "severity", "risk"];
    let rows = answer(&database.store, "alert_timeline", &[("key_id", "key-a")], &columns).await;
    assert_eq!(
        rows,
        ["one | 1 | alert.opened | high | 71.5", "one | 2 | alert.updated | high | 72.5"]
    );
}

#[tokio::test]
async fn open_alerts() {
    let database = stored_alerts().await;
    let columns = ["id", "about", "risk", "detectors"];
    let rows = answer(&database.store, "open_alerts", &[], &columns).await;
    assert_eq!(
        rows,
        [
            "one | key-a | 72.5 | geo.impossible_travel, rate.spike",
            "three | 198.51.100.200 | 40 | geo.impossible_travel, rate.spike"
        ]
    );
    // Closed by a person; with evidence beyond that, it is open again.
    let seen = alert("one", 2, "key-a", hours_ago(2.0));
    database.store.record_acts(&[act("one", "1", Kind::Confirm, &seen)]).await.unwrap();
    let rows = answer(&database.store, "open_alerts", &[], &["id"]).await;
    assert_eq!(rows, ["three"]);
    let worse = Alert { severity: Severity::Critical, ..alert("one", 3, "key-a", hours_ago(0.5)) };
    database.store.write_alerts_until_done(&[worse]).await.unwrap();
    let rows = answer(&database.store, "open_alerts", &[], &["id"]).await;
    assert_eq!(rows, ["one", "three"]);
}

#[tokio::test]
async fn incidents() {
    let database = stored_alerts().await;
    let seen = alert("one", 2, "key-a", hours_ago(2.0));
    let acts = [
        Act { assignee: Some("bob".into()), ..act("one", "1", Kind::Assign, &seen) },
        act("one", "2", Kind::Acknowledge, &seen),
        act("two", "3", Kind::Dismiss, &alert("two", 1, "key-b", hours_ago(2.0))),
    ];
    database.store.record_acts(&acts).await.unwrap();
    let columns = ["id", "about", "state", "close_reason", "assignee", "matching"];
    let rows = async |values: &[(&str, &str)]| {
        answer(&database.store, "incidents", values, &columns).await
    };
    let one = "one | key-a | acknowledged |  | bob";
    let three = "three | 198.51.100.200 | open |  | ";
    assert_eq!(rows(&[]).await, [format!("{one} | 2"), format!("{three} | 2")]);
    assert_eq!(rows(&[("limit", "1")]).await, [format!("{one} | 2")]);
    let two = "two | key-b | closed | false_travel |  | 1";
    assert_eq!(rows(&[("states", "closed")]).await, [two]);
    let any = ("states", "open,acknowledged,closed");
    assert_eq!(rows(&[any, ("key", "key-b")]).await, [two]);
    assert_eq!(rows(&[any, ("severities", "high")]).await.len(), 3);
    assert_eq!(rows(&[any, ("severities", "low,critical")]).await, [""; 0]);
    assert_eq!(rows(&[any, ("detectors", "rate.spike,monitor.blind")]).await.len(), 3);
    assert_eq!(rows(&[any, ("detectors", "monitor.blind")]).await, [""; 0]);
    let since = hours_ago(2.0).plus_seconds(20.0).as_micros().to_string();
    assert_eq!(rows(&[any, ("since", &since)]).await.len(), 2);
}

#[tokio::test]
async fn people_timeline() {
    let database = stored_alerts().await;
    let seen = alert("one", 2, "key-a", hours_ago(2.0));
    for (id, kind) in [("1", Kind::Acknowledge), ("2", Kind::Dismiss)] {
        database.store.record_acts(&[act("one", id, kind, &seen)]).await.unwrap();
    }
    let columns = ["incident", "who", "origin", "kind", "reason", "seen_revision"];
    let rows = answer(&database.store, "people_timeline", &[("incident", "one")], &columns).await;
    assert_eq!(
        rows,
        [
            "one | author of 2 | command_line | dismiss | false_travel | 2",
            "one | author of 1 | command_line | acknowledge |  | 2"
        ]
    );
    let nobody = [("who", "author of 3")];
    let rows = answer(&database.store, "people_timeline", &nobody, &columns).await;
    assert_eq!(rows, [""; 0]);
}

#[tokio::test]
async fn failed_deliveries() {
    let database = database().await;
    let attempt = |channel: &str, attempt, outcome, detail: &str| DeliveryRow {
        alert_id: "one".into(),
        revision: 1,
        channel: channel.into(),
        attempt,
        outcome,
        detail: detail.into(),
        time: hours_ago(1.0),
        webhook_id: "msg-one".into(),
    };
    for row in [
        attempt("email", 1, DeliveryOutcome::Failed, "connection refused"),
        attempt("email", 2, DeliveryOutcome::Delivered, "250 accepted"),
        attempt("webhook", 1, DeliveryOutcome::Failed, "timeout"),
        attempt("webhook", 2, DeliveryOutcome::Failed, "500"),
        attempt("pager", 1, DeliveryOutcome::KeptQuiet, "dismissed"),
    ] {
        database.store.record_delivery(&row).await.unwrap();
    }
    let columns = ["channel", "alert_id", "attempts", "last_outcome", "last_detail"];
    let rows = answer(&database.store, "failed_deliveries", &[], &columns).await;
    assert_eq!(rows, ["webhook | one | 2 | failed | 500"]);
}

#[tokio::test]
async fn detectors() {
    let database = stored_alerts().await;
    let two = alert("two", 1, "key-b", hours_ago(2.0));
    database.store.record_acts(&[act("two", "1", Kind::Dismiss, &two)]).await.unwrap();
    let one = alert("one", 2, "key-a", hours_ago(2.0));
    database.store.record_acts(&[act("one", "2", Kind::Confirm, &one)]).await.unwrap();
    let columns =
        ["detector", "incidents", "high_or_critical", "confirmed", "false_alarms", "not_closed"];
    let rows = answer(&database.store, "detectors", &[], &columns).await;
    let counts = "3 | 3 | 1 | 1 | 1";
    assert_eq!(
        rows,
        [format!("geo.impossible_travel | {counts}"), format!("rate.spike | {counts}")]
    );
}

#[tokio::test]
async fn response_times() {
    let database = stored_alerts().await;
    let one = alert("one", 2, "key-a", hours_ago(2.0));
    let acts = [
        Act { text: String::new(), ..act("one", "1", Kind::Comment, &one) },
        act("one", "2", Kind::Acknowledge, &one),
        act("one", "3", Kind::Dismiss, &one),
        act("three", "4", Kind::Assign, &alert("three", 1, "", hours_ago(2.0))),
    ];
    database.store.record_acts(&acts).await.unwrap();
    let columns = ["severity", "incidents", "acknowledged", "closed_by_people"];
    let rows = answer(&database.store, "response_times", &[], &columns).await;
    assert_eq!(rows, ["high | 3 | 2 | 1"]);
    let columns = ["minutes_to_acknowledge", "minutes_to_close"];
    let rows = answer(&database.store, "response_times", &[], &columns).await;
    for minutes in rows[0].split(" | ") {
        let minutes: f64 = minutes.parse().unwrap();
        assert!((119.0..=125.0).contains(&minutes), "{minutes}");
    }
}

#[tokio::test]
async fn revocations() {
    let database = database().await;
    let rows = "INSERT INTO revocation_requests (number, incident, revision, key_id) VALUES \
                (1, 'one', 2, 'key-a'), (2, 'two', 1, 'key-b')";
    execute(&database, rows).await;
    let attempt = |attempt, outcome, detail: &str| DeliveryRow {
        alert_id: "one".into(),
        revision: 2,
        channel: "webhook".into(),
        attempt,
        outcome,
        detail: detail.into(),
        time: hours_ago(1.0).plus_seconds(f64::from(attempt)),
        webhook_id: "msg".into(),
    };
    for row in
        [attempt(1, DeliveryOutcome::Failed, "503"), attempt(2, DeliveryOutcome::Delivered, "200")]
    {
        database.store.record_delivery(&row).await.unwrap();
    }
    for sql in [
        "INSERT INTO key_event_rows (change, key_id, kind, time) VALUES ('c', 'key-a', 'revoked', now64(6))",
        "INSERT INTO key_changes (number, change) VALUES (1, 'c')",
    ] {
        execute(&database, sql).await;
    }
    let columns = ["key_id", "incident", "channel", "outcome", "detail", "attempts", "confirmed"];
    let mut rows = answer(&database.store, "revocations", &[], &columns).await;
    rows.sort();
    let expected =
        ["key-a | one | webhook | delivered | 200 | 2 | revoked", "key-b | two |  |  |  | 0 | "];
    assert_eq!(rows, expected);
}
