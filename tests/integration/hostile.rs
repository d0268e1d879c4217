//! Sends what takes few bytes and would take much memory to a service that has little.

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use keywatch::config::ClickHouseConfig;
use reqwest::{Client, StatusCode};

use crate::support::clickhouse::{lines, unmigrated};
use crate::support::service::Service;
use crate::support::settings::Settings;
use crate::support::stored::count;

/// Address space of the service, in KiB. Its libraries and stacks take a third of it.
const ADDRESS_SPACE_KIB: u64 = 1_500_000;

fn settings(clickhouse: &ClickHouseConfig) -> Settings {
    // At the level `debug`, the log would be longer than the input.
    Settings::new(clickhouse).set("log.filter", "info")
}

/// A record of one MiB that holds this object again and again.
fn array_of(object: &str) -> (String, usize) {
    let times = ((1 << 20) - 2) / (object.len() + 1);
    (format!("[{}]", vec![object; times].join(",")), times)
}

#[tokio::test]
async fn records_that_hold_many_events_or_rejections_are_stored_within_a_memory_limit() {
    let database = unmigrated().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.jsonl");
    let now = keywatch::event::EventTime::now().as_micros();
    let event = format!(
        "{{\"time\":{now},\"key_id\":\"a\",\"client_ip\":\"::1\",\"method\":\"G\",\"path\":\"/\",\"status\":200}}"
    );
    let (refused, parts) = array_of("{}");
    let (taken, events) = array_of(&event);
    let mut file = fs::File::create(&log).unwrap();
    for _ in 0..120 {
        writeln!(file, "{refused}").unwrap();
    }
    for _ in 0..4 {
        writeln!(file, "{taken}").unwrap();
    }
    drop(file);
    let settings = settings(&database.config).files(&[&log]).set("source.batch_records", 50_000);
    let (status, log) = Service::start_within(&settings, ADDRESS_SPACE_KIB).wait();
    assert!(status.success(), "{status}\n{log}");
    assert_eq!(count(&database.store, "access_events").await, 4 * events);
    let rejections = "SELECT count() <= 120 * 11, uniqExact(record_offset) FROM rejected_events";
    assert_eq!(lines(&database.store, rejections).await, ["1 120"]);
    assert!(log.contains(&format!("rejections: {}", 120 * parts)), "all parts are counted: {log}");
}

#[tokio::test]
async fn a_small_compressed_body_of_millions_of_records_is_refused() {
    let database = unmigrated().await;
    let settings = settings(&database.config)
        .set("source.kind", "http")
        .set("source.http.listen", "127.0.0.1:0");
    let service = Service::start_within(&settings, ADDRESS_SPACE_KIB);
    let address = service.logged_address("accepting events at POST /v1/events");
    let body = format!("[{}{{}}]", "{},".repeat(5_500_000));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(body.as_bytes()).unwrap();
    let bomb = gzip.finish().unwrap();
    assert!(bomb.len() < 20_000);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::new();
    let post = |body: Vec<u8>, encoding: &'static str| {
        let request = client.post(format!("http://{address}/v1/events")).body(body);
        let request = request.header("content-type", "application/json");
        request.header("content-encoding", encoding).send()
    };
    let bombs = (0..8).map(|_| post(bomb.clone(), "gzip"));
    for answer in futures_util::future::join_all(bombs).await {
        let status = answer.unwrap().status();
        let is_refused = [StatusCode::PAYLOAD_TOO_LARGE, StatusCode::SERVICE_UNAVAILABLE];
        assert!(is_refused.contains(&status), "{status}");
    }
    let answer = post(b"{}".to_vec(), "identity").await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(count(&database.store, "rejected_events").await, 1);
    assert!(service.terminate().0.success());
}
