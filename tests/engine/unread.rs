//! Tests the sign of requests that name a key and cannot be read.

use keywatch::alert::{Action, Alert, DetectorId};
use keywatch::config::Config;
use keywatch::engine::Scorer;
use keywatch::event::PartitionId;
use keywatch::record::RawBatch;
use serde_json::{Value, json};

const START: i64 = 1_767_571_200;
/// The requests of so many seconds come before those that cannot be read.
const SETTLED: i64 = 7_200;

fn request(second: i64, key: &str) -> Value {
    json!({
        "time": START + second, "key_id": key, "client_ip": "192.0.2.10", "method": "GET",
        "path": "/v1/orders", "status": 200, "request_id": format!("{key}-{second}"),
    })
}

fn unreadable(second: i64, key: &str) -> Value {
    let mut request = request(second, key);
    request["client_ip"] = "192.0.2.1, 192.0.2.2".into();
    request["request_id"] = format!("{key}-unread-{second}").into();
    request
}

/// Ten keys that are used every ten seconds, and behind them a minute more with `requests`.
fn log(requests: impl Fn(i64) -> Vec<Value>) -> Vec<Value> {
    let ordinary = |second: i64| (0..10).map(move |key| request(second, &format!("k{key}")));
    let seconds = (0..SETTLED + 60).filter(|second| second % 10 == 0);
    let of = |second| {
        let more = if second >= SETTLED { requests(second) } else { Vec::new() };
        ordinary(second).chain(more).collect::<Vec<_>>()
    };
    seconds.flat_map(of).collect()
}

fn alerts(records: &[Value], batch_records: usize) -> Vec<Alert> {
    let mut scorer = Scorer::open(&Config::default()).unwrap();
    let mut alerts = Vec::new();
    for (number, chunk) in records.chunks(batch_records).enumerate() {
        let mut batch = RawBatch::new(PartitionId { topic: "log".into(), partition: 0 });
        for (at, record) in chunk.iter().enumerate() {
            let offset = (number * batch_records + at) as i64;
            batch.push(offset, record.to_string().as_bytes());
        }
        alerts.extend(scorer.process(&batch, None).outcome.alerts);
    }
    alerts
}

fn rise_of(key: &'static str) -> Vec<Value> {
    log(|second| (0..6).map(|it| unreadable(second + it, key)).collect())
}

#[test]
fn a_rise_of_unreadable_requests_of_a_key_is_a_notice_about_it() {
    let alerts = alerts(&rise_of("k3"), 1_000);
    let first = alerts.first().expect("an alert");
    assert_eq!(first.key_id.as_deref(), Some("k3"));
    assert_eq!(first.detectors, [DetectorId::ErrorBurst]);
    let evidence = &first.evidence[0].fields;
    assert_eq!(evidence["unread"], true);
    assert_eq!(evidence["reason"], "bad_client_ip");
    for alert in &alerts {
        assert!(alert.action <= Action::Notify, "{:?}", alert.action);
        assert_eq!(alert.key_id.as_deref(), Some("k3"));
    }
}

#[test]
fn the_cuts_between_batches_change_nothing() {
    let log = rise_of("k3");
    let whole = alerts(&log, log.len());
    assert!(!whole.is_empty());
    for batch_records in [1, 7, 100] {
        assert_eq!(alerts(&log, batch_records), whole, "{batch_records}");
    }
}

#[test]
fn a_gateway_that_logs_in_another_form_is_no_sign_about_any_key() {
    let of_all =
        |second: i64| (0..60).map(|it| unreadable(second, &format!("k{}", it % 10))).collect();
    assert_eq!(alerts(&log(of_all), 1_000), []);
}

#[test]
fn unreadable_requests_of_unknown_keys_and_a_few_of_a_key_are_no_sign() {
    assert_eq!(alerts(&rise_of("invented"), 1_000), []);
    let few = log(|second| vec![unreadable(second, "k3")]);
    assert_eq!(alerts(&few, 1_000), []);
}
