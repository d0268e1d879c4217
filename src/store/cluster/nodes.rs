//! Asks each server of a cluster about its tables, for whoever looks whether the cluster works.

use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;
use tokio::time::timeout;

use crate::store::migrate::names_of_migrations;
use crate::store::{Store, StoreError};

/// A server that is away must not hold up the questions to the others.
const PATIENCE: Duration = Duration::from_secs(5);

/// Names with their text, in which the replicas of a table differ by their UUIDs alone.
const TABLES: &str = "SELECT name, replaceRegexpAll(create_table_query, 'UUID .[^ ]*', '') \
    FROM system.tables WHERE database = ? AND name NOT LIKE '.inner%' ORDER BY name";
const REPLICAS: &str = "SELECT table, toBool(is_readonly) AS readonly, \
    toUInt64(absolute_delay) AS delay_seconds, toUInt32(active_replicas) AS active, \
    toUInt32(total_replicas) AS total FROM system.replicas \
    WHERE database = ? ORDER BY table";
const MIGRATIONS: &str = "SELECT name FROM schema_migrations FINAL ORDER BY name";

/// One server of a cluster.
#[derive(Clone, Debug)]
pub struct ClusterNode {
    pub host: String,
    pub shard: u32,
    /// What it answered, or why it did not.
    pub answer: Result<NodeAnswer, String>,
}

/// The tables of one server.
#[derive(Clone, Debug, Default)]
pub struct NodeAnswer {
    /// Migrations that the server does not know of.
    pub missing_migrations: Vec<&'static str>,
    /// Names and definitions.
    pub tables: Vec<(String, String)>,
    pub replicas: Vec<Replica>,
}

/// A replicated table, as one server sees it.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct Replica {
    pub table: String,
    /// The server has no session with ZooKeeper, or its data and ZooKeeper disagree.
    pub readonly: bool,
    pub delay_seconds: u64,
    /// Replicas that are connected to ZooKeeper, of all.
    pub active: u32,
    pub total: u32,
}

#[derive(Row, Deserialize)]
struct HostRow {
    host: String,
    shard: u32,
}

impl Store {
    /// Asks every server of the cluster. A server that does not answer is part of the result.
    ///
    /// # Errors
    /// The server of `url` does not answer, or knows no such cluster.
    pub async fn cluster_nodes(&self) -> Result<Vec<ClusterNode>, StoreError> {
        let cluster = self.cluster.as_deref().unwrap_or_default();
        let sql = "SELECT host_name AS host, toUInt32(min(shard_num)) AS shard FROM system.clusters \
                   WHERE cluster = ? GROUP BY host_name ORDER BY min((shard_num, replica_num))";
        let hosts = self.server().query(sql).bind(cluster).fetch_all::<HostRow>().await;
        let hosts = hosts.map_err(|error| self.error("reading system.clusters", &error))?;
        if hosts.is_empty() {
            let (url, cluster) = (self.url.clone(), cluster.to_owned());
            return Err(StoreError::UnknownCluster { url, cluster });
        }
        let mut nodes = Vec::with_capacity(hosts.len());
        for HostRow { host, shard } in hosts {
            let answer = self.on_node(&host).answer_within(PATIENCE).await;
            nodes.push(ClusterNode { host, shard, answer });
        }
        Ok(nodes)
    }

    async fn answer_within(&self, patience: Duration) -> Result<NodeAnswer, String> {
        match timeout(patience, self.node_answer()).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} s", patience.as_secs())),
        }
    }

    async fn node_answer(&self) -> Result<NodeAnswer, StoreError> {
        let of_database = |sql: &str| self.server().query(sql).bind(&self.database);
        let tables = of_database(TABLES).fetch_all::<(String, String)>().await;
        let replicas = of_database(REPLICAS).fetch_all::<Replica>().await;
        Ok(NodeAnswer {
            missing_migrations: self.missing_migrations().await?,
            tables: tables.map_err(|error| self.error("reading system.tables", &error))?,
            replicas: replicas.map_err(|error| self.error("reading system.replicas", &error))?,
        })
    }

    async fn missing_migrations(&self) -> Result<Vec<&'static str>, StoreError> {
        // Its own rows are asked for: a replica that lacks some would refuse a sequential read.
        let client = self.client.clone().with_setting("select_sequential_consistency", "0");
        let applied = client.query(MIGRATIONS).fetch_all::<String>().await;
        let applied = match applied.map_err(|error| self.error("reading the migrations", &error)) {
            Err(StoreError::NotMigrated { .. }) => Vec::new(),
            other => other?,
        };
        let is_missing = |name: &&str| !applied.iter().any(|applied| applied == name);
        Ok(names_of_migrations().filter(is_missing).collect())
    }
}
