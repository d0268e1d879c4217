//! Tests producers that do not partition by key: records pass exactly once through a topic that is
//! partitioned by key.

use keywatch::store::Store;
use serde_json::Value;

use crate::support::clickhouse::{TestDatabase, lines, unmigrated};
use crate::support::eventually::{LIMIT, eventually};
use crate::support::kafka::{broker, unique};
use crate::support::service::Service;
use crate::support::settings::Settings;
use crate::support::stored::{assert_exact, count, wait_for_rows};
use crate::support::topic::payloads;
use crate::support::traffic::{REPLAYED_KEY, Traffic, undecodable};

const INPUTS: i32 = 4;
const OUTPUTS: i32 = 3;

/// Sends records without keys, to one partition after the other.
fn produce_anyhow(topic: &str, records: &[Vec<u8>]) {
    for partition in 0..INPUTS {
        let here = records.iter().skip(partition as usize).step_by(INPUTS as usize);
        broker().produce(topic, partition, here);
    }
}

fn payloads_of(traffic: &Traffic) -> Vec<Vec<u8>> {
    traffic.events.iter().map(|event| serde_json::to_vec(event).unwrap()).collect()
}

fn member(database: &TestDatabase, [input, by_key]: [&str; 2], instance: &str) -> Settings {
    Settings::new(&database.config)
        .kafka(input)
        .set("source.kafka.repartition_topic", by_key)
        .batch_records(200)
        .static_member(instance)
        .soon_missed()
        .snapshot_seconds(1)
        .set("monitor.max_lag_seconds", 600.0)
}

async fn assert_keys_are_together(store: &Store) {
    let apart = "SELECT key_id FROM access_events GROUP BY key_id HAVING uniqExact(partition) > 1";
    assert_eq!(lines(store, apart).await, [""; 0]);
    assert!(lines(store, "SELECT DISTINCT partition FROM access_events").await.len() > 1);
}

#[tokio::test]
async fn records_without_keys_are_stored_once_though_the_repartitioners_are_killed() {
    let database = unmigrated().await;
    let store = &database.store;
    let traffic = Traffic::generated(100, 3.0, 1.0, 51).with_attacks().with_raw_keys(300);
    let (total, bad) = (traffic.events.len(), undecodable());
    let (input, by_key) = (unique("unkeyed"), unique("by-key"));
    broker().create_topic(&input, INPUTS).await;
    broker().create_topic(&by_key, OUTPUTS).await;
    produce_anyhow(&input, &payloads_of(&traffic));
    produce_anyhow(&input, &bad);

    let topics = [input.as_str(), by_key.as_str()];
    let settings_of = |instance| member(&database, topics, instance);
    let other = Service::start(&settings_of("two"));
    for part in 1..=2 {
        let killed = Service::start(&settings_of("one"));
        wait_for_rows(store, "access_events", total * part / 5).await;
        killed.kill();
    }
    let last = Service::start(&settings_of("one"));
    wait_for_rows(store, "access_events", total * 4 / 5).await;
    // No process ends its transaction or gives up its partitions, so both must time out.
    other.kill();
    wait_for_rows(store, "access_events", total).await;
    wait_for_rows(store, "rejected_events", bad.len()).await;
    assert_exact(store, &traffic).await;
    assert_eq!(count(store, "rejected_events").await, bad.len());
    assert_keys_are_together(store).await;
    let alerts = "SELECT count() > 0 FROM alerts WHERE key_id = '".to_owned() + REPLAYED_KEY + "'";
    assert_eq!(lines(store, &alerts).await, ["1"]);

    eventually("no lag", LIMIT, async || last.metric("keywatch_source_lag_records") == 0.0).await;
    let (status, log) = last.terminate();
    assert!(status.success(), "{status}\n{log}");
    assert!(!log.contains("records carry no Kafka key"), "{log}");
    for partition in 0..OUTPUTS {
        for payload in payloads(broker(), &by_key, partition) {
            let text = String::from_utf8_lossy(&payload);
            assert!(!text.contains("sk_live_"), "{text}");
            assert!(serde_json::from_slice::<Value>(&payload).is_ok(), "{text}");
        }
    }
}
