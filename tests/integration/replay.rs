//! Tests replays of requests that have left memory: the store decides which request came first.

use std::fs;
use std::process::Stdio;

use keywatch::event::EventTime;
use serde_json::{Value, json};

use crate::support::clickhouse::{lines, unmigrated};
use crate::support::service::run;
use crate::support::settings::Settings;

const LONDON: &str = "81.2.69.160";
const SYDNEY: &str = "1.128.0.1";

/// First uses are remembered exactly for fewer requests than there are.
const FIRST_USES: u32 = 200;
const REQUESTS: i64 = 600;
const EVERY_SECONDS: i64 = 20;

fn request(start: EventTime, n: i64, second: i64, ip: &str) -> Value {
    json!({
        "time": start.plus_seconds(second as f64), "key_id": "ak-signed", "client_ip": ip,
        "method": "POST", "path": "/v1/orders", "status": 200,
        "request_id": format!("r-{n}-{second}"), "nonce": format!("nonce {}", n * 7919 % 104_729),
    })
}

#[tokio::test]
async fn a_request_of_hours_ago_is_confirmed_by_the_store_before_it_is_told() {
    let database = unmigrated().await;
    let hours = (REQUESTS * EVERY_SECONDS) as f64;
    let start = EventTime::now().plus_seconds(-hours - 3_600.0);
    let ordinary = |n| request(start, n, n * EVERY_SECONDS, LONDON);
    let mut log: Vec<Value> = (0..REQUESTS).map(ordinary).collect();
    let end = REQUESTS * EVERY_SECONDS;
    // The whole record of the fourth request, as a log shipper delivers it again, ...
    log.push(ordinary(3));
    // ... and the sixth request, sent again by an attacker.
    log.push(request(start, 5, end, SYDNEY));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    fs::write(&path, log.iter().map(|event| format!("{event}\n")).collect::<String>()).unwrap();

    let settings = Settings::new(&database.config)
        .files(&[&path])
        .batch_records(20)
        .set("detect.replay_first_uses", FIRST_USES)
        .set("detect.replay_memory_mebibytes", 1);
    let output = run(&settings, Stdio::null());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let alerts = lines(&database.store, "SELECT alert FROM alerts FINAL ORDER BY revision").await;
    let alerts: Vec<Value> =
        alerts.iter().map(|alert| serde_json::from_str(alert).unwrap()).collect();
    let told = |alert: &&Value| alert["detectors"][0] == "replay.duplicate_nonce";
    let replay = alerts.iter().find(told).unwrap_or_else(|| panic!("{alerts:#?}"));
    let evidence = &replay["evidence"][0];
    assert_eq!(evidence["first_request"]["ip"], LONDON);
    assert_eq!(evidence["first_request"]["offset"], 6, "lines count from 1");
    assert_eq!(evidence["second_request"]["ip"], SYDNEY);
    assert_eq!(evidence["gap_seconds"], (end - 5 * EVERY_SECONDS) as f64);
    assert_eq!(replay["position"]["first_offset"], REQUESTS + 2);
}
