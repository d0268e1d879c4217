//! Tests that memory stays bounded while ClickHouse is away and records keep arriving.

use std::env;
use std::fs;
use std::time::{Duration, Instant};

use keywatch::store::Store;
use serde_json::Value;

use crate::support::clickhouse::start;
use crate::support::kafka::{broker, unique};
use crate::support::service::Service;
use crate::support::settings::Settings;
use crate::support::stored::wait_for_rows;
use crate::support::topic::produce;
use crate::support::traffic::{PARTITIONS, Traffic};

/// Bytes that the decoder skips, so that few rows take many megabytes in Kafka.
const PADDING: usize = 4_000;
/// 100 MB, more than the 48 MiB that the client fetches ahead for three partitions.
const BACKLOG: usize = 25_000;
const TICK: Duration = Duration::from_secs(1);

fn outage() -> Duration {
    let seconds = env::var("KEYWATCH_OUTAGE_SECONDS").map_or(8, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

fn padded(mut traffic: Traffic) -> Traffic {
    let padding = Value::from("x".repeat(PADDING));
    for event in &mut traffic.events {
        event["padding"] = padding.clone();
    }
    traffic
}

/// Resident memory of the process, as the kernel reports it.
fn resident_bytes(service: &Service) -> f64 {
    let path = format!("/proc/{}/status", service.pid().as_raw_nonzero());
    let status = fs::read_to_string(path).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1_024.0
}

/// Resident bytes and records taken in, once neither has grown for some seconds.
async fn settled(service: &Service) -> (f64, f64) {
    let (mut last, mut calm) = ((0.0, 0.0), 0);
    while calm < 3 {
        tokio::time::sleep(TICK).await;
        let now = (resident_bytes(service), service.metric("keywatch_source_records_total"));
        calm = if now.1 == last.1 && now.0 <= last.0 * 1.01 { calm + 1 } else { 0 };
        last = now;
    }
    last
}

#[tokio::test]
async fn memory_stays_flat_while_clickhouse_is_away_and_records_keep_coming() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), None).await;
    let config = server.config();
    let port = config.url.rsplit(':').next().unwrap().parse().unwrap();
    let store = Store::new(&config);
    let topic = unique("outage");
    broker().create_topic(&topic, PARTITIONS).await;
    let mut rest = Traffic::generated(100, 3.0, 3.7, 45);
    let total = rest.events.len();
    let mut backlog = rest;
    rest = backlog.split_off(BACKLOG);
    let first = Traffic { events: backlog.events.split_off(BACKLOG - 300) };
    produce(broker(), &topic, &padded(first));
    let settings = Settings::new(&config).kafka(&topic).batch_records(250);
    let service = Service::start(&settings.set("source.batch_bytes", 1_000_000));
    wait_for_rows(&store, "access_events", 300).await;

    drop(server);
    produce(broker(), &topic, &padded(backlog));
    service.wait_until_it_waits_for("clickhouse").await;
    let (before, taken) = settled(&service).await;
    assert!(taken < BACKLOG as f64 / 2.0, "{taken} records taken in");
    let (begin, outage) = (Instant::now(), outage());
    let a_tick = rest.events.len() / outage.as_secs() as usize;
    let mut most = before;
    while begin.elapsed() < outage && !rest.events.is_empty() {
        let later = rest.split_off(rest.events.len().min(a_tick));
        produce(broker(), &topic, &padded(rest));
        rest = later;
        tokio::time::sleep(TICK).await;
        most = most.max(resident_bytes(&service));
        assert_eq!(service.metric("keywatch_source_records_total"), taken);
        assert_eq!(service.get("/healthz").0, 200);
    }
    produce(broker(), &topic, &padded(rest));
    eprintln!(
        "{} s without ClickHouse: {:.1} MB at its begin, {:.1} MB at most, {taken} records taken in",
        begin.elapsed().as_secs(),
        before / 1e6,
        most / 1e6
    );
    assert!(most <= 1.1 * before, "grew from {before} to {most} bytes");
    assert!(!service.log().contains("Kafka partitions revoked"), "left the group");

    let _server = start(folder.path(), Some(port)).await;
    wait_for_rows(&store, "access_events", total).await;
    assert!(service.terminate().0.success());
}
