//! Compares stored alerts and checks that each was delivered.

use std::collections::{BTreeMap, BTreeSet};

use keywatch::store::Store;
use serde_json::Value;

use super::clickhouse::lines;
use super::eventually::{LIMIT, eventually};
use super::kafka::Broker;
use super::service::Service;
use super::topic::payloads;

/// Every revision of every alert, without wall-clock times.
pub async fn alerts(store: &Store) -> Vec<Value> {
    let sql = "SELECT alert FROM alerts FINAL ORDER BY id, revision";
    let rows = lines(store, sql).await;
    rows.iter().map(|row| without_clock(row.as_bytes())).collect()
}

/// The alerts must be equal to the byte, except incidents with evidence from several partitions.
/// When partitions learn of each other is chance, so evidence and revisions of those incidents
/// vary; their ids do not.
pub fn assert_same_alerts(found: &[Value], expected: &[Value]) {
    let (found_merged, found) = split_merged(found);
    let (expected_merged, expected) = split_merged(expected);
    let ids = |alerts: &[Value]| alerts.iter().map(|alert| alert["id"].to_string()).collect();
    let (found_ids, expected_ids): (BTreeSet<String>, _) =
        (ids(&found_merged), ids(&expected_merged));
    assert_eq!(found_ids, expected_ids, "incidents of sources and keys answered there");
    let (found, expected) = (&found, &expected);
    let name = |alert: &Value| format!("{} {} {}", alert["id"], alert["revision"], alert["title"]);
    let names = |alerts: &[Value]| alerts.iter().map(name).collect::<Vec<_>>();
    let (found_names, expected_names) = (names(found), names(expected));
    let missing: Vec<_> =
        expected_names.iter().filter(|name| !found_names.contains(name)).collect();
    let added: Vec<_> = found_names.iter().filter(|name| !expected_names.contains(name)).collect();
    assert!(missing.is_empty() && added.is_empty(), "missing {missing:#?}, added {added:#?}");
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
}

/// Incidents with evidence from several partitions, and the others.
fn split_merged(alerts: &[Value]) -> (Vec<Value>, Vec<Value>) {
    let has_merged = |alert: &Value| {
        let detectors = alert["detectors"].as_array().unwrap();
        detectors.iter().any(|detector| detector == "auth.credential_stuffing")
    };
    let merged = alerts.iter().filter(|alert| has_merged(alert)).map(|alert| &alert["id"]);
    let merged: Vec<&Value> = merged.collect();
    alerts.iter().cloned().partition(|alert| merged.contains(&&alert["id"]))
}

fn without_clock(alert: &[u8]) -> Value {
    let mut alert: Value = serde_json::from_slice(alert).unwrap();
    alert.as_object_mut().unwrap().remove("detected_at");
    alert
}

pub async fn eventually_done(store: &Store) {
    let open = "SELECT count() FROM (SELECT token FROM ingest_batches GROUP BY token \
        HAVING countIf(state = 'done') = 0)";
    eventually("every batch is done", LIMIT, async || lines(store, open).await == ["0"]).await;
}

/// Waits until sources were judged with all events that were stored at the time of the call.
pub async fn eventually_judged(service: &Service) {
    let looks = || service.metric("keywatch_source_looks_total");
    // The first look that ends may have begun before the call.
    let enough = looks() + 2.0;
    eventually("sources are judged", LIMIT, async || looks() >= enough).await;
}

/// Waits until every revision has reached the alerts topic.
pub async fn eventually_told(store: &Store) {
    let left = "SELECT count() FROM alerts WHERE (id, revision) NOT IN (SELECT alert_id, revision \
        FROM deliveries WHERE channel = 'topic' AND outcome IN ('delivered', 'skipped'))";
    eventually("every alert is delivered", LIMIT, async || lines(store, left).await == ["0"]).await;
}

/// Checks `topic`, which has one partition: it holds each of `alerts` at least once, no other
/// alert, and no alert under two ids. Returns the number of messages.
pub fn assert_told(broker: &Broker, topic: &str, alerts: &[Value]) -> usize {
    let told: Vec<Value> =
        payloads(broker, topic, 0).iter().map(|payload| without_clock(payload)).collect();
    let name = |alert: &Value| format!("{} {}", alert["id"], alert["revision"]);
    let names = |alerts: &[Value]| alerts.iter().map(name).collect::<BTreeSet<_>>();
    assert_eq!(names(&told), names(alerts), "the topic holds the stored alerts");
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for alert in &told {
        let mut content = alert.clone();
        content.as_object_mut().unwrap().remove("id");
        ids.entry(content.to_string()).or_default().insert(alert["id"].to_string());
    }
    assert!(ids.values().all(|ids| ids.len() == 1), "delivered under two ids: {ids:#?}");
    told.len()
}
