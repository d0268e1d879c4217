//! Measures the cost of a key: in memory, to save, to restore.
//!
//! `cargo bench --no-default-features --bench state -- KEYS PLACES [CLICKHOUSE_URL]`

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use keywatch::config::{ClickHouseConfig, DetectConfig, PolicyConfig, Secret};
use keywatch::engine::checkpoint::{Chunk, Extent, FORMAT};
use keywatch::engine::{Engine, Restoration};
use keywatch::event::{
    AccessEvent, Coordinates, EnrichedEvent, EventTime, Origin, PartitionId, RecordPosition,
    ShardId,
};
use keywatch::network::NetworkKind;
use keywatch::registry::Registry;
use keywatch::store::{PackedChunk, Round, RoundId, Store};

const SHARD: ShardId = ShardId::Partition(0);
/// Friday, 2026-01-09, midnight UTC: two and a half days touch every season.
const START: i64 = 1_767_916_800;
const STEP_SECONDS: i64 = 9_000;
const STEPS: i64 = 24;
const SLICE: usize = 1_000;

fn engine() -> Engine {
    let detect = DetectConfig {
        // The run must raise no alerts: it measures profiles and not incidents.
        expected_false_alerts_per_week: 1e-12,
        max_keys: usize::MAX,
        ..DetectConfig::default()
    };
    Engine::new(&detect, &PolicyConfig::default(), Registry::default())
}

fn origins(count: usize) -> Vec<Arc<Origin>> {
    let origin = |n: usize| Origin {
        country: ["DE", "US", "GB", "FR"][n % 4].into(),
        region: format!("A region of some length {n}").into(),
        city: format!("City {n}").into(),
        coordinates: Some(Coordinates { latitude: n as f64, longitude: 13.4, accuracy_km: 20.0 }),
        asn: 64_500 + n as u32,
        as_name: "Example Networks".into(),
        kind: NetworkKind::Access,
    };
    (0..count).map(|n| Arc::new(origin(n))).collect()
}

/// One request of every key at this step, each from its next place.
fn requests(
    keys: usize,
    step: i64,
    origins: &[Arc<Origin>],
) -> impl Iterator<Item = EnrichedEvent> {
    (0..keys).map(move |key| {
        let place = step as usize % origins.len();
        let second = START + step * STEP_SECONDS + (key * 600 / keys) as i64;
        // Ids as long as the HMAC of a raw key.
        let event = AccessEvent::minimal(
            EventTime::from_seconds(second),
            format!("{key:064x}"),
            std::net::IpAddr::from([10, place as u8, (key % 256) as u8, 7]),
        );
        let offset = step * keys as i64 + key as i64;
        let position = RecordPosition { offset, index: 0 };
        EnrichedEvent { event, position, origin: Arc::clone(&origins[place]) }
    })
}

fn score(engine: &mut Engine, keys: usize, step: i64, origins: &[Arc<Origin>]) -> Duration {
    let partition = PartitionId { topic: "bench".into(), partition: 0 };
    let mut spent = Duration::ZERO;
    let mut all = requests(keys, step, origins);
    loop {
        let batch: Vec<_> = all.by_ref().take(50_000).collect();
        if batch.is_empty() {
            return spent;
        }
        let begin = Instant::now();
        assert!(engine.process(SHARD, &partition, &batch, None).alerts.is_empty());
        spent += begin.elapsed();
    }
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Saves one round: its chunks, the time it took from the scoring thread, and its longest pause.
fn save(engine: &mut Engine, extent: Extent, mut each: impl FnMut(Chunk)) -> (Duration, Duration) {
    let begin = Instant::now();
    let cut = engine.cut(SHARD, extent).unwrap().unwrap();
    let mut spent = begin.elapsed();
    let mut longest = spent;
    cut.chunks.into_iter().for_each(&mut each);
    loop {
        let begin = Instant::now();
        let chunk = engine.take_slice(SHARD, SLICE).unwrap();
        spent += begin.elapsed();
        longest = longest.max(begin.elapsed());
        let Some(chunk) = chunk else { return (spent, longest) };
        each(chunk);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [keys, places, url @ ..] = arguments.as_slice() else {
        println!("KEYS PLACES [CLICKHOUSE_URL]");
        return;
    };
    let (keys, places): (usize, usize) = (keys.parse().unwrap(), places.parse().unwrap());
    let origins = origins(places);
    let before = resident_bytes();
    let mut engine = engine();
    let mut scored = Duration::ZERO;
    for step in 0..STEPS {
        scored += score(&mut engine, keys, step, &origins);
    }
    assert_eq!(engine.keys(), keys);
    let memory = (resident_bytes() - before) as f64 / keys as f64;
    let per_event = scored.as_secs_f64() / (keys as i64 * STEPS) as f64;
    println!(
        "{keys} keys of {places} places: {memory:.0} bytes a key in memory, {:.0} ns an event",
        per_event * 1e9
    );

    let (mut raw, mut packed) = (0, Vec::new());
    let mut compressing = Duration::ZERO;
    let (spent, longest) = save(&mut engine, Extent::All, |chunk| {
        raw += chunk.bytes.len();
        let begin = Instant::now();
        packed.push(PackedChunk::new(&chunk).unwrap());
        compressing += begin.elapsed();
    });
    let stored: usize = packed.iter().map(PackedChunk::stored_bytes).sum();
    println!(
        "a round of all: {:.0} bytes a key encoded, {:.0} stored; scoring gave {:.2} s ({:.0} ns a key), at most {:.0} ms at once; compression in the background {:.2} s",
        raw as f64 / keys as f64,
        stored as f64 / keys as f64,
        spent.as_secs_f64(),
        spent.as_secs_f64() * 1e9 / keys as f64,
        longest.as_secs_f64() * 1e3,
        compressing.as_secs_f64()
    );
    let scored = score(&mut engine, keys, STEPS, &origins);
    let (spent, longest) = save(&mut engine, Extent::Changed, drop);
    println!(
        "a round of {keys} changed keys: {:.2} s beside {:.2} s for one event of each, at most {:.0} ms at once",
        spent.as_secs_f64(),
        scored.as_secs_f64(),
        longest.as_secs_f64() * 1e3
    );
    drop(engine);
    if let [url] = url {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(restore(url, &packed, keys));
    }
}

async fn restore(url: &str, packed: &[PackedChunk], keys: usize) {
    let config = ClickHouseConfig {
        url: url.into(),
        database: "bench_state".into(),
        // The embedded server has the user `keywatch`, and its password in DIR/credentials/password.
        user: std::env::var("CLICKHOUSE_USER").unwrap_or_else(|_| "default".into()),
        password: Secret::new(std::env::var("CLICKHOUSE_PASSWORD").unwrap_or_default()),
        ..ClickHouseConfig::default()
    };
    let store = Store::new(&config);
    store.migrate().await.unwrap();
    let generation = EventTime::now().as_micros() as u64;
    let id = RoundId {
        scope: "bench".into(),
        shard: SHARD,
        generation,
        round: 0,
        writer: "bench".into(),
    };
    let begin = Instant::now();
    for (number, chunk) in (0..).zip(packed) {
        store.write_chunk(&id, number, chunk).await.unwrap();
    }
    let chunks = packed.len() as u32;
    let round = Round { id, epoch: 0, format: FORMAT, chunks, positions: Vec::new() };
    store.seal_round(&round).await.unwrap();
    println!("written to ClickHouse in {:.1} s, {chunks} chunks", begin.elapsed().as_secs_f64());
    for _ in 0..3 {
        let begin = Instant::now();
        let mut restoration = Restoration::default();
        let rounds = store.rounds("bench", SHARD).await.unwrap();
        let read = store
            .read_chunks(&rounds[0].id, |chunk| restoration.add(&chunk.unpack().unwrap()).unwrap());
        assert_eq!(read.await.unwrap(), chunks);
        let mut restored = engine();
        restored.install(SHARD, restoration).unwrap();
        assert_eq!(restored.keys(), keys);
        println!("restored from ClickHouse in {:.2} s", begin.elapsed().as_secs_f64());
    }
}
