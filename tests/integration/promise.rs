//! Tests that a family of detectors that alerts too often loses its say, and that people learn it.

use keywatch::alert::Alert;
use keywatch::store::Store;
use serde_json::{Value, json};

use crate::support::alerts::alerts;
use crate::support::clickhouse::database;
use crate::support::eventually::{LIMIT, eventually};
use crate::support::kafka::{broker, unique};
use crate::support::service::Service;
use crate::support::settings::Settings;
use crate::support::topic::produce;
use crate::support::traffic::{PARTITIONS, Traffic};

/// Incidents of the replay family alone, each about another key, one in two hours.
fn earlier_incidents() -> Vec<Alert> {
    let template = include_str!("../fixtures/alerts/impossible_travel.json");
    let incident = |n: i64| {
        let mut alert: Value = serde_json::from_str(template).unwrap();
        let time = keywatch::event::EventTime::now().plus_seconds(-7_200.0 * n as f64);
        alert["id"] = json!(format!("inc_earlier{n}"));
        alert["key_id"] = json!(format!("earlier-{n}"));
        alert["tenant"] = Value::Null;
        alert["severity"] = json!("high");
        alert["action"] = json!("suspend");
        alert["detectors"] = json!(["replay.duplicate_nonce"]);
        for field in ["first_event_time", "last_event_time", "detected_event_time", "detected_at"] {
            alert[field] = json!(time);
        }
        serde_json::from_value(alert).unwrap()
    };
    (1..=30).map(incident).collect()
}

async fn about_promises(store: &Store) -> Vec<Value> {
    let all = alerts(store).await;
    let is_one = |alert: &Value| alert["detectors"] == json!(["monitor.promise_broken"]);
    all.into_iter().filter(is_one).collect()
}

#[tokio::test]
async fn a_family_that_alerts_too_often_is_told_once_and_does_not_act_alone() {
    let database = database().await;
    let store = &database.store;
    for alert in &earlier_incidents() {
        store.write_alert_until_done(alert).await.unwrap();
    }
    let topic = unique("promise");
    broker().create_topic(&topic, PARTITIONS).await;
    let settings =
        Settings::new(&database.config).kafka(&topic).set("monitor.on_broken_promise", "restrain");
    let service = Service::start(&settings);
    service.wait_for_log("families of detectors are restrained");
    produce(broker(), &topic, &Traffic::attacks());
    let replay = eventually("a replay is told", LIMIT, async || {
        let all = alerts(store).await;
        all.into_iter().find(|alert| {
            alert["detectors"][0].as_str().is_some_and(|name| name.starts_with("replay."))
                && !alert["key_id"].as_str().unwrap_or_default().starts_with("earlier")
        })
    });
    let replay = replay.await;
    assert_eq!(replay["action"], "notify", "{replay:#}");
    assert_eq!(replay["restraint"], "promise_broken");

    // Of a group, the process that judges the first partition tells it, once it has read something.
    let told = eventually("the broken promise is told", LIMIT, async || {
        let found = about_promises(store).await;
        (!found.is_empty()).then_some(found)
    });
    let told = told.await;
    assert_eq!(told.len(), 1);
    let evidence = &told[0]["evidence"][0];
    assert_eq!((&evidence["family"], &evidence["is_restrained"]), (&json!("replay"), &json!(true)));
    assert!(evidence["measured"].as_u64().unwrap() >= 30, "{evidence:#}");

    let (status, log) = service.terminate();
    assert!(status.success(), "{log}");
    let again = Service::start(&settings);
    again.wait_for_log("families of detectors are restrained");
    assert!(again.terminate().0.success());
    assert_eq!(about_promises(store).await.len(), 1, "a restart tells it no second time");
}
