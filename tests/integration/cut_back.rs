//! A broker loses the end of a log, as after an unclean election of a leader. Other records take the
//! lost offsets: Keywatch says so, and stores each record beyond them once.

use keywatch::event::EventTime;
use keywatch::store::Store;
use serde_json::json;

use crate::support::clickhouse::{lines, unmigrated};
use crate::support::eventually::{LIMIT, eventually};
use crate::support::kafka::{Broker, Place};
use crate::support::service::Service;
use crate::support::settings::Settings;
use crate::support::stored::wait_for_rows;

const TOPIC: &str = "access";

const ALERT: &str = "SELECT title FROM alerts WHERE topic = 'access' AND last_offset = 99 \
    AND has(detectors, 'monitor.degraded')";

fn produce(broker: &Broker, life: &str, offsets: std::ops::Range<usize>) {
    let event = |offset: usize| {
        let event = json!({
            "time": EventTime::now().as_micros(), "key_id": "key", "client_ip": "192.0.2.1",
            "method": "GET", "path": "/v1/orders", "status": 200,
            "request_id": format!("{life}-{offset}"),
        });
        ("key".to_owned(), event.to_string())
    };
    broker.produce_keyed(TOPIC, 0, offsets.map(event));
}

/// The stored requests of a life of the log: number, first and last offset.
async fn stored(store: &Store, life: &str) -> String {
    let sql = format!(
        "SELECT count(), min(record_offset), max(record_offset) FROM access_events \
         WHERE startsWith(request_id, '{life}-')"
    );
    lines(store, &sql).await.remove(0)
}

async fn wait_for_stored(store: &Store, life: &str, expected: &str) {
    eventually(&format!("{life}: {expected}"), LIMIT, async || {
        let stored = stored(store, life).await;
        (stored == expected).then_some(()).ok_or(stored)
    })
    .await;
}

/// Loses offsets 60 to 99, with a service that runs on, or that is started after it.
async fn lose_the_end_of_a_log(is_running: bool) {
    let (database, place) = (unmigrated().await, Place::new());
    let broker = Broker::start_and_keep_data(place.clone());
    broker.create_topic(TOPIC, 1).await;
    produce(&broker, "first", 0..60);
    produce(&broker, "first", 60..100);
    let settings =
        Settings::new(&database.config).kafka(TOPIC).set("source.kafka.brokers", place.address());
    let service = Service::start(&settings);
    wait_for_rows(&database.store, "access_events", 100).await;
    broker.wait_until_committed("of-access", TOPIC, 100);
    let running = is_running.then_some(service);
    broker.lose_from(TOPIC, 60);
    let broker = Broker::start(place);
    produce(&broker, "second", 60..80);
    let service = running.unwrap_or_else(|| Service::start(&settings));
    go_on(&database.store, broker, service).await;
}

/// What is behind the lost offsets is stored, and the others are reported.
async fn go_on(store: &Store, broker: Broker, service: Service) {
    service.wait_for_log("the log was cut back");
    let title = eventually("told", LIMIT, async || lines(store, ALERT).await.pop()).await;
    assert_eq!(title, "Keywatch passes over records: the log of access/0 was cut back");
    assert!(service.metric("keywatch_logs_cut_back_total") >= 1.0);
    produce(&broker, "second", 80..130);
    wait_for_stored(store, "second", "30 100 129").await;
    assert_eq!(stored(store, "first").await, "100 0 99");
    broker.wait_until_committed("of-access", TOPIC, 130);
    assert_eq!(lines(store, ALERT).await.len(), 1);
    assert!(service.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_loses_its_end_under_the_service_is_reported() {
    lose_the_end_of_a_log(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_its_end_before_the_start_is_reported() {
    lose_the_end_of_a_log(false).await;
}
