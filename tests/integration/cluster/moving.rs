//! Tests that the tables of a single server move to a cluster as docs/OPERATIONS.md says.

use keywatch::config::ClickHouseConfig;
use keywatch::store::Store;

use super::settings;
use crate::support::clickhouse::{client, lines};
use crate::support::cluster::Cluster;
use crate::support::kafka::broker;
use crate::support::service::Service;
use crate::support::settings::Settings;
use crate::support::stored::{assert_exact, wait_for_rows};
use crate::support::topic::{produce, topic_of};
use crate::support::traffic::Traffic;

const DOCUMENT: &str = include_str!("../../../docs/OPERATIONS.md");
const VIEWS: [&str; 4] = [
    "key_usage_minute_view",
    "key_usage_hour_view",
    "key_scope_day_view",
    "source_usage_hour_view",
];

/// The query of the document, for a database `alone` at `address`.
fn query_for_statements(address: &str) -> String {
    let section = DOCUMENT.split_once("### From a single server to a cluster").unwrap().1;
    let query = section.split_once("```sql").unwrap().1.split_once("```").unwrap().0;
    query
        .replace("old:9000", address)
        .replace("keywatch.", "alone.")
        .replace("'keywatch'", "'alone'")
}

async fn on_each_node(cluster: &Cluster, statement: &str) {
    for node in 1..=4 {
        let client = client(&cluster.config(node, "keywatch"));
        for view in VIEWS {
            client.query(&format!("{statement} {view}")).execute().await.unwrap();
        }
    }
}

async fn copy(cluster: &Cluster, old: &Store) {
    let statements = lines(old, &query_for_statements(&cluster.native_address(1))).await;
    assert!(statements.len() > 20, "{statements:#?}");
    let node = client(&cluster.config(3, "keywatch"));
    for statement in statements {
        node.query(&statement)
            .execute()
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

#[tokio::test]
#[ignore = "needs a cluster: make cluster"]
async fn a_service_goes_on_after_its_single_server_has_moved_to_a_cluster() {
    let Some(cluster) = Cluster::start().await else { return };
    let old = ClickHouseConfig { cluster: None, ..cluster.config(1, "alone") };
    let new = cluster.config(2, "keywatch");
    let mut traffic = Traffic::generated(50, 2.0, 0.5, 53);
    let rest = traffic.split_off(traffic.events.len() / 2);
    let topic = topic_of(broker(), &traffic).await;
    let (before, after) = (Store::new(&old), Store::new(&new));

    let service = Service::start(&Settings::new(&old).kafka(&topic));
    wait_for_rows(&before, "access_events", traffic.events.len()).await;
    assert!(service.terminate().0.success());
    after.migrate().await.unwrap();
    on_each_node(&cluster, "DETACH TABLE").await;
    copy(&cluster, &before).await;
    on_each_node(&cluster, "ATTACH TABLE").await;
    assert_exact(&after, &traffic).await;

    produce(broker(), &topic, &rest);
    let traffic = traffic.joined(rest);
    let service = Service::start(&settings(&new).kafka(&topic));
    wait_for_rows(&after, "access_events", traffic.events.len()).await;
    assert_exact(&after, &traffic).await;
    assert!(service.terminate().0.success());
}
