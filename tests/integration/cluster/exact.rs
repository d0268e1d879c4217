//! Tests that a service stores on a cluster what it stores on one server.

use keywatch::event::PartitionId;
use keywatch::store::{ANALYST_QUERIES, Store};

use super::settings;
use crate::support::alerts::{alerts, assert_same_alerts, eventually_judged};
use crate::support::clickhouse::{lines, unmigrated};
use crate::support::cluster::Cluster;
use crate::support::kafka::broker;
use crate::support::service::Service;
use crate::support::settings::Settings;
use crate::support::stored::{assert_exact, wait_for_rows};
use crate::support::topic::topic_of;
use crate::support::traffic::Traffic;

#[tokio::test]
#[ignore = "needs a cluster: make cluster"]
async fn events_and_alerts_are_those_of_a_single_server() {
    let Some(cluster) = Cluster::start().await else { return };
    let traffic = Traffic::generated(100, 3.0, 1.0, 51).with_attacks();
    let topic = topic_of(broker(), &traffic).await;
    let config = cluster.config(1, "keywatch");
    let store = Store::new(&config);
    let begin = std::time::Instant::now();
    let service = Service::start(&settings(&config).kafka(&topic).batch_records(250));
    wait_for_rows(&store, "access_events", traffic.events.len()).await;
    let seconds = begin.elapsed().as_secs_f64();
    assert_exact(&store, &traffic).await;
    eventually_judged(&service).await;
    assert!(service.terminate().0.success());
    assert_same_alerts(&alerts(&store).await, &on_a_single_server(&topic, &traffic).await);

    for node in 1..=4 {
        let store = Store::new(&cluster.config(node, "keywatch"));
        assert_exact(&store, &traffic).await;
        let here = lines(&store, "SELECT count() FROM access_events_local").await;
        assert_ne!(here, ["0"], "each shard has a part of the rows: node {node}");
        for query in ANALYST_QUERIES {
            let answer = store.query_table(query.sql, &[]).await;
            answer.unwrap_or_else(|error| panic!("{}: {error}", query.name));
        }
    }
    eprintln!("{} events stored on 2 shards x 2 replicas in {seconds:.1} s", traffic.events.len());
}

async fn on_a_single_server(topic: &str, traffic: &Traffic) -> Vec<serde_json::Value> {
    let database = unmigrated().await;
    let group = format!("single-{topic}");
    let settings = Settings::new(&database.config).kafka(topic);
    let service = Service::start(&settings.set("source.kafka.group_id", group));
    wait_for_rows(&database.store, "access_events", traffic.events.len()).await;
    eventually_judged(&service).await;
    assert!(service.terminate().0.success());
    alerts(&database.store).await
}

/// Whoever claims later has the higher epoch, whatever nodes the processes talk to.
#[tokio::test]
#[ignore = "needs a cluster: make cluster"]
async fn a_claim_is_known_on_every_node_as_soon_as_it_is_acknowledged() {
    let Some(cluster) = Cluster::start().await else { return };
    let stores = [1, 2, 3, 4].map(|node| Store::new(&cluster.config(node, "keywatch")));
    stores[0].migrate().await.unwrap();
    let partition = PartitionId { topic: "access".into(), partition: 0 };
    for round in 0..5 {
        for (node, store) in stores.iter().enumerate() {
            let claim = store.claim(&partition, &"".into()).await.unwrap();
            assert_eq!(claim.epoch, round * 4 + node as u64 + 1);
        }
    }
    // All at once: they wait for each other's quorum, and no two own the partition.
    let claims = stores.iter().map(|store| async {
        let mut epochs = Vec::new();
        for _ in 0..5 {
            epochs.push(store.claim(&partition, &"".into()).await.unwrap());
        }
        epochs
    });
    let claims = futures_util::future::join_all(claims).await.concat();
    let mut held: Vec<_> = claims.iter().map(|claim| (claim.epoch, &*claim.owner)).collect();
    held.sort_unstable();
    held.dedup();
    assert_eq!(held.len(), 20);
}
