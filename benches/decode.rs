//! Events decoded a second on one core: `cargo bench --no-default-features --bench decode`.

#![allow(clippy::print_stdout, clippy::expect_used)]

use std::fs;
use std::hint::black_box;
use std::sync::Arc;

use keywatch::config::DecodeConfig;
use keywatch::decode::Decoder;
use keywatch::event::{EventTime, PartitionId};
use keywatch::source::RawBatch;

const EVENTS: usize = 50_000;
const EVENT_BYTES: usize = 308;
const ROUNDS: usize = 40;

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
    // Padding in the last place, as an unknown field would be.
    let padding = (EVENT_BYTES - event.len()).saturating_sub(r#","x":"""#.len());
    event.replace('}', &format!(r#","x":"{}"}}"#, "x".repeat(padding)))
}

/// Time this thread has spent on a core, so that other work on the machine counts little.
fn cpu_seconds() -> f64 {
    let statistics = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds = statistics.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.expect("nanoseconds come first") / 1e9
}

fn main() {
    let partition = PartitionId { topic: Arc::from("bench"), partition: 0 };
    let mut batch = RawBatch::new(partition);
    for (offset, number) in (0..EVENTS).enumerate() {
        batch.push(offset as i64, event(number).as_bytes());
    }
    let decoder = Decoder::new(&DecodeConfig::default()).expect("defaults are valid");
    let now = EventTime::from_seconds(1_790_000_000);
    assert_eq!(decoder.decode(&batch, now).events.len(), EVENTS);

    let mut seconds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = cpu_seconds();
            black_box(decoder.decode(black_box(&batch), now));
            cpu_seconds() - start
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let rate = |seconds: f64| EVENTS as f64 / seconds / 1e6;
    println!(
        "decode: {:.2} M events/s (median of {ROUNDS}), best {:.2}; {} bytes an event",
        rate(seconds[ROUNDS / 2]),
        rate(seconds[0]),
        batch.size_bytes() / EVENTS,
    );
}
