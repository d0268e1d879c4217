//! Tests that the monitor alerts when it is blind, through the same channels as other alerts.

use keywatch::config::ClickHouseConfig;
use keywatch::event::EventTime;
use keywatch::store::Store;
use serde_json::Value;

use crate::support::alerts::alerts;
use crate::support::clickhouse::{start, unmigrated};
use crate::support::eventually::{LIMIT, eventually};
use crate::support::kafka::broker;
use crate::support::mailbox::Mailbox;
use crate::support::service::Service;
use crate::support::settings::Settings;
use crate::support::stored::wait_for_rows;
use crate::support::topic::{produce, topic_of};
use crate::support::traffic::Traffic;

fn settings(clickhouse: &ClickHouseConfig, topic: &str, mailbox: &Mailbox) -> Settings {
    Settings::new(clickhouse)
        .kafka(topic)
        .mail_to(mailbox, "alice@example.com")
        .set("email.min_severity", "high")
}

/// The first revision of an incident about the monitor that is resolved, once both revisions are
/// stored, in either order. (A slow machine may fall behind, or be silent, once more.)
async fn resolved(store: &Store) -> Value {
    let opened =
        eventually("resolved", LIMIT, async || opened_and_resolved(&alerts(store).await)).await;
    assert_eq!((&opened["key_id"], &opened["source_ip"]), (&Value::Null, &Value::Null));
    opened
}

fn opened_and_resolved(alerts: &[Value]) -> Option<Value> {
    let is = |alert: &Value, kind: &str| {
        alert["detectors"][0] == "monitor.blind" && alert["type"] == kind
    };
    let mut revisions = alerts.windows(2).filter(|pair| pair[0]["id"] == pair[1]["id"]);
    let pair =
        revisions.find(|pair| is(&pair[0], "alert.opened") && is(&pair[1], "alert.resolved"));
    pair.map(|pair| pair[0].clone())
}

async fn wait_for_mail(mailbox: &Mailbox, text: &str) {
    eventually(text, LIMIT, async || mailbox.mails().iter().any(|mail| mail.text.contains(text)))
        .await;
}

/// ClickHouse causes the delay, so the mail must not wait until the row is stored.
#[tokio::test]
async fn lag_beyond_its_bound_is_mailed_at_once_stored_later_and_resolved() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), None).await;
    let config = server.config();
    let port = config.url.rsplit(':').next().unwrap().parse().unwrap();
    let store = Store::new(&config);
    let mut traffic = Traffic::generated(50, 1.0, 1.0, 41);
    let total = traffic.events.len();
    let late = traffic.split_off(total / 2);
    let topic = topic_of(broker(), &traffic).await;
    let mailbox = Mailbox::start(&[]);
    let settings = settings(&config, &topic, &mailbox).set("monitor.max_lag_seconds", 3.0);
    let service = Service::start(&settings);
    wait_for_rows(&store, "access_events", traffic.events.len()).await;
    drop(server);
    produce(broker(), &topic, &late);
    wait_for_mail(&mailbox, "s behind").await;

    let _server = start(folder.path(), Some(port)).await;
    wait_for_rows(&store, "access_events", total).await;
    let opened = resolved(&store).await;
    let lag = opened["evidence"][0]["lag"].as_u64().unwrap();
    assert!(lag > 0 && lag <= total as u64, "{opened:#}");
    let position = &opened["position"];
    assert_eq!(position["topic"], topic.as_str());
    assert!(position["first_offset"].as_i64() <= position["last_offset"].as_i64(), "{opened:#}");
    assert!(service.terminate().0.success());
}

/// There was traffic at this hour yesterday.
#[tokio::test]
async fn silence_beyond_its_bound_is_told_and_resolved_when_traffic_returns() {
    let database = unmigrated().await;
    let usual = yesterday_around_this_hour();
    let topic = topic_of(broker(), &usual).await;
    let mailbox = Mailbox::start(&[]);
    let settings =
        settings(&database.config, &topic, &mailbox).set("monitor.max_silence_seconds", 5.0);
    let service = Service::start(&settings);
    wait_for_rows(&database.store, "access_events", usual.events.len()).await;
    wait_for_mail(&mailbox, "Nothing was stored for").await;

    produce(broker(), &topic, &Traffic::attacks());
    let opened = resolved(&database.store).await;
    assert!(opened["evidence"][0]["expected"].as_f64().unwrap() >= 20.0, "{opened:#}");
    assert!(opened["evidence"][0]["gap"].as_f64().unwrap() >= 5.0, "{opened:#}");
    assert!(service.terminate().0.success());
}

/// 20,000 requests an hour, from the start of this hour to the end of the next, because the test
/// may run into the next hour.
fn yesterday_around_this_hour() -> Traffic {
    let mut traffic = Traffic::generated(50, 2.0, 6.0, 42);
    let first = EventTime::now().as_micros() / 3_600_000_000 * 3_600_000_000 - 86_400_000_000;
    let step = 7_200_000_000 / traffic.events.len() as i64;
    for (n, event) in (0..).zip(&mut traffic.events) {
        event["time"] = serde_json::to_value(EventTime::from_micros(first + n * step)).unwrap();
    }
    traffic
}
