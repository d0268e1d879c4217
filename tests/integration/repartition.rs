//! Producers that do not partition by key: records go through a topic that is, exactly once.

use keywatch::store::Store;
use serde_json::Value;

use crate::end_to_end::{assert_exact, count, kafka_settings, wait_for_rows};
use crate::support::alerts::payloads;
use crate::support::clickhouse::{lines, unmigrated};
use crate::support::kafka::{broker, unique};
use crate::support::service::{Service, eventually, settings};
use crate::support::traffic::{REPLAYED_KEY, Traffic, undecodable};

const INPUTS: i32 = 4;
const OUTPUTS: i32 = 3;

/// Without keys, one partition after the other.
fn produce_anyhow(topic: &str, records: &[Vec<u8>]) {
    for partition in 0..INPUTS {
        let here = records.iter().skip(partition as usize).step_by(INPUTS as usize);
        broker().produce(topic, partition, here);
    }
}

fn payloads_of(traffic: &Traffic) -> Vec<Vec<u8>> {
    traffic.events.iter().map(|event| serde_json::to_vec(event).unwrap()).collect()
}

/// A static member, so that the group need not wait when it is killed and comes back.
fn member(topics: [&str; 2], instance: &str) -> String {
    let more = format!(
        "repartition_topic = \"{}\"\n[source.kafka.properties]\n\
         \"group.instance.id\" = \"{instance}\"\n\
         \"session.timeout.ms\" = \"6000\"\n\"heartbeat.interval.ms\" = \"500\"",
        topics[1]
    );
    kafka_settings(topics[0], &more).replace("2_000", "200")
        + "[state]\nsnapshot_seconds = 1\n[monitor]\nmax_lag_seconds = 600.0\n"
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
    let settings_of = |instance| settings(&database.config) + &member(topics, instance);
    let other = Service::start(&settings_of("two"));
    for part in 1..=2 {
        let killed = Service::start(&settings_of("one"));
        wait_for_rows(store, "access_events", total * part / 5).await;
        killed.kill();
    }
    let last = Service::start(&settings_of("one"));
    wait_for_rows(store, "access_events", total * 4 / 5).await;
    // Nobody comes back for its transaction and its partitions: they have to time out.
    other.kill();
    wait_for_rows(store, "access_events", total).await;
    wait_for_rows(store, "rejected_events", bad.len()).await;
    assert_exact(store, &traffic).await;
    assert_eq!(count(store, "rejected_events").await, bad.len());
    assert_keys_are_together(store).await;
    let alerts = "SELECT count() > 0 FROM alerts WHERE key_id = '".to_owned() + REPLAYED_KEY + "'";
    assert_eq!(lines(store, &alerts).await, ["1"]);

    eventually("no lag", async || last.metric("keywatch_source_lag_records") == 0.0).await;
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
