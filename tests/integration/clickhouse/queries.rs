//! Tests every file of `sql/queries/` on rows with a known result.

use std::collections::BTreeSet;

use keywatch::alert::{Alert, Severity};
use keywatch::decode::RejectReason;
use keywatch::deliver::DeliveryLog;
use keywatch::deliver::record::{DeliveryOutcome, DeliveryRow};
use keywatch::event::{EnrichedEvent, EventTime};
use keywatch::store::{ANALYST_QUERIES, Store, StoredBatch, analyst_query};
use keywatch::workflow::{Act, Kind};

use super::acts::act;
use super::samples::{alert, batch, event, origin, partition, rejection, unclaimed};
use crate::support::clickhouse::{TestDatabase, client, database};

/// Runs a query and returns the chosen columns as lines.
async fn answer(
    store: &Store,
    name: &str,
    values: &[(&str, &str)],
    columns: &[&str],
) -> Vec<String> {
    let query = analyst_query(name).unwrap();
    let table = store.query_table(query.sql, values).await.unwrap();
    let positions: Vec<usize> = columns
        .iter()
        .map(|column| table.columns.iter().position(|name| name == column).expect(column))
        .collect();
    let line = |row: &Vec<String>| {
        positions.iter().map(|position| row[*position].as_str()).collect::<Vec<_>>().join(" | ")
    };
    table.rows.iter().map(line).collect()
}

fn hours_ago(hours: f64) -> EventTime {
    EventTime::now().plus_seconds(-3_600.0 * hours)
}

/// Events with consecutive offsets, modified by `change`.
fn events<'a>(
    first_offset: i64,
    keys: impl IntoIterator<Item = &'a str>,
    hours: f64,
    change: impl Fn(&mut EnrichedEvent),
) -> Vec<EnrichedEvent> {
    let time = hours_ago(hours);
    let mut events: Vec<_> = keys
        .into_iter()
        .zip(first_offset..)
        .map(|(key, offset)| event(offset, time, key))
        .collect();
    events.iter_mut().for_each(change);
    events
}

async fn stored(batches: &[Vec<EnrichedEvent>]) -> TestDatabase {
    let database = database().await;
    for events in batches {
        database.store.write_batch(&batch(&partition(0), events)).await.unwrap();
    }
    database
}

#[tokio::test]
async fn top_keys() {
    let database = stored(&[
        events(0, ["a", "b", "b", "b"], 0.2, |_| {}),
        events(10, ["a"], 0.2, |e| e.event.status = 429),
        events(20, ["a"; 50], 5.0, |_| {}),
    ])
    .await;
    let columns = ["key_id", "requests", "error_percent", "throttled"];
    let rows = answer(&database.store, "top_keys", &[], &columns).await;
    assert_eq!(rows, ["b | 3 | 0 | 0", "a | 2 | 50 | 1"]);
    let rows = answer(&database.store, "top_keys", &[("hours", "6"), ("limit", "1")], &columns);
    assert_eq!(rows.await, ["a | 52 | 1.9 | 1"]);
}

#[tokio::test]
async fn key_countries() {
    let database = stored(&[
        events(0, ["a", "a", "b"], 50.0, |_| {}),
        events(10, ["a"], 1.0, |e| e.origin = origin("JP", 1)),
        events(20, ["a"], 1.0, |e| e.origin = origin("", 0)),
    ])
    .await;
    let columns = ["place", "requests"];
    let rows = answer(&database.store, "key_countries", &[("key_id", "a")], &columns).await;
    assert_eq!(rows, ["DE | 2", "JP | 1", "unknown | 1"]);
}

#[tokio::test]
async fn new_networks() {
    let database = stored(&[
        events(0, ["a", "b"], 100.0, |e| e.origin = origin("DE", 1)),
        events(10, ["a", "b"], 2.0, |e| e.origin = origin("DE", 1)),
        events(20, ["a", "a"], 2.0, |e| e.origin = origin("BR", 2)),
        // A new key has no usual network, and an unknown network is not a new one.
        events(30, ["new"], 2.0, |e| e.origin = origin("BR", 2)),
        events(40, ["b"], 2.0, |e| e.origin = origin("", 0)),
    ])
    .await;
    let columns = ["key_id", "asn", "network", "requests", "countries"];
    let rows = answer(&database.store, "new_networks", &[], &columns).await;
    assert_eq!(rows, ["a | 2 | Network 2 | 2 | ['BR']"]);
}

#[tokio::test]
async fn error_share() {
    let failing = |e: &mut EnrichedEvent| e.event.status = 500;
    let database = stored(&[
        events(0, ["a", "a", "a", "b"], 48.0, |_| {}),
        events(10, ["a", "b"], 48.0, failing),
        events(20, ["a", "a", "b"], 0.2, failing),
        events(30, ["b"], 0.2, |_| {}),
    ])
    .await;
    let columns = ["key_id", "recent_error_percent", "earlier_error_percent"];
    let rows = answer(&database.store, "error_share", &[], &columns).await;
    assert_eq!(rows, ["a | 100 | 25"]);
}

#[tokio::test]
async fn shared_addresses() {
    let address =
        |text: &'static str| move |e: &mut EnrichedEvent| e.event.client_ip = text.parse().unwrap();
    let database = stored(&[
        events(0, ["a", "b", "b"], 1.0, address("198.51.100.9")),
        events(10, ["c", "c"], 1.0, address("198.51.100.8")),
        events(20, ["a", "c"], 1.0, address("2001:db8::9")),
    ])
    .await;
    let columns = ["address", "keys_used", "some_keys", "requests"];
    let rows = answer(&database.store, "shared_addresses", &[], &columns).await;
    assert_eq!(rows, ["198.51.100.9 | 2 | ['a','b'] | 3", "2001:db8::9 | 2 | ['a','c'] | 2"]);
}

#[tokio::test]
async fn latency_by_route() {
    let route = |path: &'static str, ms: f32| {
        move |e: &mut EnrichedEvent| {
            e.event.path = path.into();
            e.event.latency_ms = Some(ms);
        }
    };
    let database = stored(&[
        events(0, ["a"; 20], 0.2, route("/fast", 5.0)),
        events(30, ["a"; 20], 0.2, route("/slow", 800.0)),
        events(60, ["a"; 20], 0.2, |e| e.event.latency_ms = None),
    ])
    .await;
    let columns = ["path", "requests", "p50_ms", "p99_ms"];
    let rows = answer(&database.store, "latency_by_route", &[], &columns).await;
    assert_eq!(rows, ["/slow | 20 | 800 | 800", "/fast | 20 | 5 | 5"]);
}

#[tokio::test]
async fn rejections() {
    let database = database().await;
    let rejections = [
        rejection(1, RejectReason::BadStatus),
        rejection(2, RejectReason::InvalidJson),
        rejection(3, RejectReason::InvalidJson),
    ];
    let partition = partition(0);
    let batch = StoredBatch {
        first_offset: 1,
        last_offset: 3,
        rejections: &rejections,
        ..unclaimed(&partition)
    };
    database.store.write_batch(&batch).await.unwrap();
    let columns = ["reason", "records", "partitions"];
    let rows = answer(&database.store, "rejections", &[], &columns).await;
    assert_eq!(rows, ["invalid_json | 2 | 1", "bad_status | 1 | 1"]);
}

#[tokio::test]
async fn completeness() {
    let complete =
        stored(&[events(0, ["a"; 5], 0.1, |_| {}), events(5, ["a"; 5], 0.1, |_| {})]).await;
    let columns = ["finding", "from_offset", "to_offset"];
    let rows = answer(&complete.store, "completeness", &[], &columns).await;
    assert_eq!(rows, Vec::<String>::new());

    let incomplete = stored(&[
        events(0, ["a"; 5], 0.1, |_| {}),
        events(8, ["a"; 5], 0.1, |_| {}),
        events(11, ["a"; 5], 0.1, |_| {}),
    ])
    .await;
    // An intent is not in doubt if a newer owner's batches have passed it.
    let doubt = "INSERT INTO ingest_batches \
                 (topic, partition, first_offset, last_offset, state, log_end, time) \
                 VALUES ('access', 0, 16, 20, 'intent', NULL, now()), \
                 ('access', 0, 9, 14, 'intent', NULL, now()), \
                 ('access', 1, 0, 9, 'done', 30, now())";
    client(&incomplete.config).query(doubt).execute().await.unwrap();
    let rows = answer(&incomplete.store, "completeness", &[], &columns).await;
    assert_eq!(
        rows,
        ["gap | 5 | 7", "overlap | 11 | 12", "in doubt | 16 | 20", "behind | 10 | 29"]
    );
}

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

/// Fails for each query file that has no test above.
#[test]
fn every_query_has_a_test() {
    let tested: BTreeSet<&str> = include_str!("queries.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("async fn ")?.strip_suffix("() {"))
        .collect();
    for query in ANALYST_QUERIES {
        assert!(tested.contains(query.name), "{}", query.name);
    }
}
