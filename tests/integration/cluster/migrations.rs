//! Tests that migrations give each node the same tables.

use keywatch::config::ClickHouseConfig;
use keywatch::store::{Store, StoreError};

use crate::support::clickhouse::lines;
use crate::support::cluster::Cluster;

const TABLES: &str = "SELECT name, engine, replaceRegexpAll(create_table_query, 'UUID .[^ ]*', '') \
    FROM system.tables WHERE database = currentDatabase() AND name NOT LIKE '.inner%' ORDER BY name";
const NOT_REPLICATED: &str = "SELECT name FROM system.tables \
    WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND engine NOT LIKE 'Replicated%'";

#[tokio::test]
#[ignore = "needs a cluster: make cluster"]
async fn each_node_gets_the_same_replicated_tables_and_a_second_time_changes_nothing() {
    let Some(cluster) = Cluster::start().await else { return };
    let stores = [1, 2, 3, 4].map(|node| Store::new(&cluster.config(node, "keywatch")));
    assert!(!stores[0].migrate().await.unwrap().is_empty());
    let tables = lines(&stores[0], TABLES).await;
    assert!(tables.iter().any(|table| table.starts_with("access_events Distributed")));
    assert!(tables.iter().any(|table| table.starts_with("ingest_batches ReplicatedMergeTree")));
    for store in &stores {
        assert_eq!(lines(store, TABLES).await, tables);
        assert_eq!(lines(store, NOT_REPLICATED).await, [""; 0]);
        assert_eq!(store.migrate().await.unwrap(), [""; 0]);
    }
    let beats = lines(&stores[3], "SELECT count() FROM process_beats").await;
    assert_eq!(beats, ["1"], "a row of a migration is inserted once");
}

#[tokio::test]
#[ignore = "needs a cluster: make cluster"]
async fn the_retention_changes_on_each_node() {
    let Some(cluster) = Cluster::start().await else { return };
    let config = cluster.config(2, "keywatch");
    Store::new(&config).migrate().await.unwrap();
    let config = ClickHouseConfig { raw_retention_days: 7, ..config };
    Store::new(&config).migrate().await.unwrap();
    let sql = "SELECT engine_full LIKE '%toIntervalDay(7)%' FROM system.tables \
               WHERE database = currentDatabase() AND name = 'access_events_local'";
    for node in 1..=4 {
        let store = Store::new(&cluster.config(node, "keywatch"));
        assert_eq!(lines(&store, sql).await, ["1"], "node {node}");
    }
}

#[tokio::test]
#[ignore = "needs a cluster: make cluster"]
async fn a_service_starts_while_a_node_is_away() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let store = Store::new(&cluster.config(1, "keywatch"));
    store.migrate().await.unwrap();
    cluster.kill_node(4);
    assert_eq!(store.migrate().await.unwrap(), [""; 0]);
    let other = Store::new(&cluster.config(1, "other"));
    assert!(other.migrate().await.unwrap_err().is_retryable(), "its tables need all nodes");
}

#[tokio::test]
#[ignore = "needs a cluster: make cluster"]
async fn tables_of_the_other_form_are_refused() {
    let Some(cluster) = Cluster::start().await else { return };
    let config = cluster.config(1, "keywatch");
    let alone = ClickHouseConfig { cluster: None, database: "alone".into(), ..config.clone() };
    Store::new(&config).migrate().await.unwrap();
    Store::new(&alone).migrate().await.unwrap();

    let without = ClickHouseConfig { cluster: None, ..config.clone() };
    let error = Store::new(&without).migrate().await.unwrap_err();
    assert!(matches!(error, StoreError::ClusterTables { .. }), "{error}");
    let with = ClickHouseConfig { cluster: config.cluster.clone(), ..alone };
    let error = Store::new(&with).migrate().await.unwrap_err();
    assert!(matches!(error, StoreError::SingleServerTables { .. }), "{error}");
    let elsewhere = ClickHouseConfig { cluster: Some("nowhere".into()), ..config };
    let elsewhere = ClickHouseConfig { database: "new".into(), ..elsewhere };
    let error = Store::new(&elsewhere).migrate().await.unwrap_err();
    assert!(error.to_string().contains("knows no cluster `nowhere`"), "{error}");
}
