//! Measures events decoded per second on one core: `cargo bench --no-default-features --bench
//! decode`.

#![allow(clippy::print_stdout, clippy::expect_used)]

use std::fs;
use std::hint::black_box;
use std::sync::Arc;

use keywatch::config::{DecodeConfig, Secret};
use keywatch::decode::Decoder;
use keywatch::event::{EventTime, PartitionId};
use keywatch::record::RawBatch;

const EVENTS: usize = 20_000;
const EVENT_BYTES: usize = 308;
const ROUNDS: usize = 20;

/// An event of 308 bytes, the size that DESIGN section 7 measures with.
fn event(number: usize) -> String {
    let event = format!(
        r#"{{"time":"2026-03-01T12:{:02}:{:02}.{:06}Z","key_id":"key_{:06}","client_ip":"198.51.{}.{}","method":"GET","path":"/v1/accounts/{:06}/orders","status":200,"latency_ms":{}.5,"bytes_in":512,"bytes_out":{},"request_id":"{:032x}","user_agent":"acme-sdk/2.1","nonce":{}}}"#,
        number / 3_000 % 60,
        number / 50 % 60,
        number % 1_000_000,
        number * 7_919 % 100_000,
        number % 256,
        number / 256 % 256,
        number % 1_000_000,
        number % 90,
        number % 5_000,
        number as u128 * 0x9e37_79b9_7f4a_7c15,
        1_772_366_400_000_usize + number,
    );
    // The padding stands last, in the position of an unknown field.
    let padding = (EVENT_BYTES - event.len()).saturating_sub(r#","x":"""#.len());
    event.replace('}', &format!(r#","x":"{}"}}"#, "x".repeat(padding)))
}

/// CPU time of this thread, so that other work on the machine counts little.
fn cpu_seconds() -> f64 {
    let statistics = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds = statistics.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.expect("nanoseconds come first") / 1e9
}

/// A log of a gateway: its fixture, again and again.
fn gateway_log(file: &str) -> RawBatch {
    let path = format!("{}/tests/fixtures/logs/{file}", env!("CARGO_MANIFEST_DIR"));
    let log = fs::read_to_string(path).expect("the fixture exists");
    batch(log.lines().cycle().take(EVENTS).map(str::to_owned))
}

fn batch(records: impl Iterator<Item = String>) -> RawBatch {
    let mut batch = RawBatch::new(PartitionId { topic: Arc::from("bench"), partition: 0 });
    for (offset, record) in (0..).zip(records) {
        batch.push(offset, record.as_bytes());
    }
    batch
}

fn measure(format: &str, batch: &RawBatch) {
    let pepper = Secret::new("a pepper for measurements");
    let config = DecodeConfig { format: format.into(), pepper, ..DecodeConfig::default() };
    let decoder = Decoder::new(&config).expect("the format exists");
    let now = EventTime::from_seconds(1_800_000_000);
    let events = decoder.decode(batch, now).events.len();

    let mut seconds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = cpu_seconds();
            black_box(decoder.decode(black_box(batch), now));
            cpu_seconds() - start
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds[ROUNDS / 2];
    println!(
        "decode {format}: {:.2} M events/s, {:.0} MB/s (median of {ROUNDS}); {} bytes an event",
        events as f64 / median / 1e6,
        batch.size_bytes() as f64 / median / 1e6,
        batch.size_bytes() / events,
    );
}

fn main() {
    measure("keywatch", &batch((0..EVENTS).map(event)));
    for (format, file) in [
        ("kong", "kong.jsonl"),
        ("aws-apigateway", "aws-apigateway-rest.jsonl"),
        ("cloudtrail", "cloudtrail.json"),
        ("envoy", "envoy.jsonl"),
        ("nginx-json", "nginx-json.jsonl"),
        ("traefik", "traefik.jsonl"),
        ("ocsf", "ocsf.jsonl"),
        ("tyk", "tyk.jsonl"),
        ("azure-apim", "azure-apim.jsonl"),
        ("cloudflare", "cloudflare.jsonl"),
        ("gcp-endpoints", "gcp-endpoints.jsonl"),
        ("haproxy", "haproxy.jsonl"),
        ("github-audit", "github-audit.jsonl"),
        ("combined", "combined.log"),
        ("canonical", "canonical.log"),
    ] {
        measure(format, &gateway_log(file));
    }
}
