//! Tests that nothing is lost or stored twice when replicas, the coordination service and the
//! service itself are killed.

use std::env;
use std::time::Instant;

use keywatch::store::Store;

use super::settings;
use crate::support::cluster::Cluster;
use crate::support::kafka::{broker, unique};
use crate::support::service::Service;
use crate::support::settings::Settings;
use crate::support::stored::{assert_exact, count, wait_for_rows};
use crate::support::topic::produce;
use crate::support::traffic::{PARTITIONS, Traffic};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strike {
    /// A replica that the service does not talk to.
    OtherReplica,
    ZooKeeper,
    Service,
    /// The node whose URL the service has.
    OwnReplica,
}

const STRIKES: [Strike; 4] =
    [Strike::OtherReplica, Strike::ZooKeeper, Strike::Service, Strike::OwnReplica];

fn rounds() -> usize {
    env::var("KEYWATCH_CLUSTER_ROUNDS").map_or(2, |rounds| rounds.parse().unwrap())
}

struct Struck {
    cluster: Cluster,
    store: Store,
    settings: Settings,
    service: Service,
}

impl Struck {
    async fn strike(mut self, strike: Strike) -> Self {
        match strike {
            Strike::OtherReplica => self.kill_and_start_node(4).await,
            Strike::OwnReplica => self.kill_and_start_node(1).await,
            Strike::ZooKeeper => {
                self.cluster.kill_zookeeper();
                self.service.wait_until_it_waits_for("clickhouse").await;
                self.cluster.start_zookeeper();
            }
            Strike::Service => {
                self.service.kill();
                self.service = Service::start(&self.settings);
            }
        }
        self
    }

    /// A shard of two replicas has no quorum without one of them, so the service waits.
    async fn kill_and_start_node(&mut self, node: usize) {
        self.cluster.kill_node(node);
        self.service.wait_until_it_waits_for("clickhouse").await;
        self.cluster.start_node(node).await;
    }
}

#[tokio::test]
#[ignore = "needs a cluster: make cluster"]
async fn killed_replicas_zookeeper_and_services_lose_and_repeat_nothing() {
    let Some(cluster) = Cluster::start().await else { return };
    let config = cluster.config(1, "keywatch");
    let strikes: Vec<Strike> = STRIKES.into_iter().cycle().take(rounds() * STRIKES.len()).collect();
    let traffic = Traffic::generated(100, 3.0, 0.3 * strikes.len() as f64, 52);
    let topic = unique("struck");
    broker().create_topic(&topic, PARTITIONS).await;
    let settings = settings(&config).kafka(&topic).batch_records(100).static_member("one");
    let settings = settings.snapshot_seconds(1);
    let service = Service::start(&settings);
    let mut struck = Struck { cluster, store: Store::new(&config), settings, service };
    let begin = Instant::now();
    let mut produced = 0;
    let share = traffic.events.len().div_ceil(strikes.len());
    for (strike, events) in strikes.iter().zip(traffic.events.chunks(share)) {
        let before = Instant::now();
        produce(broker(), &topic, &Traffic { events: events.to_vec() });
        // In the middle of the share.
        wait_for_rows(&struck.store, "access_events", produced + events.len() / 4).await;
        let stored = count(&struck.store, "access_events").await;
        struck = struck.strike(*strike).await;
        produced += events.len();
        wait_for_rows(&struck.store, "access_events", produced).await;
        let seconds = before.elapsed().as_secs_f64();
        eprintln!("{strike:?} at {stored}: all {produced} stored {seconds:.1} s after they came");
    }
    assert_exact(&struck.store, &traffic).await;
    for node in 1..=4 {
        let store = Store::new(&struck.cluster.config(node, "keywatch"));
        assert_exact(&store, &traffic).await;
    }
    assert!(struck.service.terminate().0.success());
    eprintln!(
        "{} strikes: {} events produced and stored, 0 lost, 0 twice; {:.0} s",
        strikes.len(),
        traffic.events.len(),
        begin.elapsed().as_secs_f64()
    );
}
