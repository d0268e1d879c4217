//! Keeps the tables on a cluster of replicated servers (`cluster` in `[clickhouse]`).
//!
//! Requests and their rollups are spread over the shards by partition. Every node has all rows of
//! every other table, since processes agree through them: such an insert is acknowledged when most
//! nodes have its rows, one after another in each table, and a read refuses a node that lacks any of
//! them. So whatever node answers, it knows each claim, intent and number that was acknowledged.

mod nodes;
mod rewrite;

use clickhouse::Client;
use reqwest::Url;

pub use self::nodes::{ClusterNode, NodeAnswer, Replica};
pub(super) use self::rewrite::stored_as;
use self::rewrite::{Place, rewrite};
use super::insert::in_turn;
use super::{Store, StoreError};

/// Settings of every query and insert on a cluster.
const SETTINGS: [(&str, &str); 6] = [
    // More than half of the replicas have the rows before the answer.
    ("insert_quorum", "auto"),
    // One insert at a time in each table, without which sequential reads promise nothing.
    ("insert_quorum_parallel", "0"),
    // A lost quorum is told soon (code 319), and the insert repeated under its token.
    ("insert_quorum_timeout", "20000"),
    ("select_sequential_consistency", "1"),
    // The answer to an insert through a distributed table comes from the shard.
    ("distributed_foreground_insert", "1"),
    // A subquery over all shards is answered once, and not on each shard by its own rows.
    ("distributed_product_mode", "global"),
];

pub(super) fn with_settings(client: Client) -> Client {
    SETTINGS.iter().fold(client, |client, (name, value)| client.with_setting(*name, *value))
}

/// The servers that migrations change: all of a cluster, or the only one.
pub(super) struct Nodes {
    cluster: Option<String>,
    stores: Vec<Store>,
}

impl Nodes {
    pub(super) async fn create_database(&self) -> Result<(), StoreError> {
        for node in &self.stores {
            node.create_database().await?;
        }
        Ok(())
    }

    /// Executes a statement that is written for a single server.
    pub(super) async fn execute(&self, statement: &str, doing: &str) -> Result<(), StoreError> {
        let Some(cluster) = &self.cluster else {
            return self.execute_on(&self.stores, statement, doing).await;
        };
        for step in rewrite(statement, cluster) {
            let nodes = match step.place {
                Place::EveryNode => &self.stores[..],
                Place::OneNode => &self.stores[..1],
            };
            self.execute_on(nodes, &step.sql, doing).await?;
        }
        Ok(())
    }

    async fn execute_on(&self, nodes: &[Store], sql: &str, doing: &str) -> Result<(), StoreError> {
        for node in nodes {
            in_turn(|| node.execute(sql, doing), StoreError::is_contended).await?;
        }
        Ok(())
    }
}

impl Store {
    /// Returns the servers that have the tables.
    pub(super) async fn nodes(&self) -> Result<Nodes, StoreError> {
        let Some(cluster) = &self.cluster else {
            return Ok(Nodes { cluster: None, stores: vec![self.clone()] });
        };
        let sql = "SELECT host_name FROM system.clusters WHERE cluster = ? \
                   GROUP BY host_name ORDER BY min((shard_num, replica_num))";
        let hosts = self.server().query(sql).bind(&**cluster).fetch_all::<String>().await;
        let hosts = hosts.map_err(|error| self.error("reading system.clusters", &error))?;
        if hosts.is_empty() {
            let (url, cluster) = (self.url.clone(), cluster.to_string());
            return Err(StoreError::UnknownCluster { url, cluster });
        }
        let stores = hosts.iter().map(|host| self.on_node(host)).collect();
        Ok(Nodes { cluster: Some(cluster.to_string()), stores })
    }

    /// The same database on another server, which listens on the same port.
    fn on_node(&self, host: &str) -> Self {
        let url = url_of_node(&self.url, host);
        Self { client: self.client.clone().with_url(&url), url, ..self.clone() }
    }

    /// Fails if the database has the tables of the other form: written as this form does, they would
    /// lose the guarantees.
    pub(super) async fn check_form(&self) -> Result<(), StoreError> {
        let sql = "SELECT engine FROM system.tables WHERE database = ? AND name = 'access_events'";
        let engine = self.server().query(sql).bind(&self.database).fetch_optional::<String>().await;
        let engine = engine.map_err(|error| self.error("reading system.tables", &error))?;
        let (url, database) = (self.url.clone(), self.database.clone());
        match (engine.map(|engine| engine == "Distributed"), &self.cluster) {
            (Some(false), Some(_)) => Err(StoreError::SingleServerTables { url, database }),
            (Some(true), None) => Err(StoreError::ClusterTables { url, database }),
            _ => Ok(()),
        }
    }
}

/// The URL with another host. A name that does not fit into a URL leaves it as it is.
fn url_of_node(url: &str, host: &str) -> String {
    let Ok(mut node) = Url::parse(url) else { return url.to_owned() };
    let bracketed = format!("[{host}]");
    let host = if host.contains(':') { &bracketed } else { host };
    match node.set_host(Some(host)) {
        Ok(()) => node.as_str().trim_end_matches('/').to_owned(),
        Err(_) => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_asked_at_its_own_host_and_the_port_of_the_url() {
        assert_eq!(url_of_node("https://lb:8443", "ch-1.example"), "https://ch-1.example:8443");
        assert_eq!(url_of_node("http://lb:8123/", "fd00::1"), "http://[fd00::1]:8123");
        assert_eq!(url_of_node("http://lb:8123", "not a host"), "http://lb:8123");
    }
}
