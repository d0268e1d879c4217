//! Starts a cluster of two shards with two replicas each, and its ZooKeeper.
//!
//! Each node has two addresses of the loopback network, one for clients and one for the other
//! replicas, so that all nodes listen on the same ports.

mod process;

use std::fmt::Write;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use keywatch::config::ClickHouseConfig;
use keywatch::store::Store;
use tempfile::TempDir;

use self::process::{Kept, tool};
use super::eventually::{LIMIT, eventually};
use super::skip::skip;

pub const NAME: &str = "kw";
const NODES: usize = 4;
const REPLICAS: usize = 2;

/// Listens, and then waits for the end of a standard input that never comes.
const SERVE: &str = "--query=SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; \
                     SELECT sleepEachRow(3) FROM numbers(1000000000) \
                     SETTINGS function_sleep_max_microseconds_per_block = 0, max_block_size = 1 \
                     FORMAT Null";

/// A running cluster. Dropping it ends all its processes.
pub struct Cluster {
    nodes: [Option<Kept>; NODES],
    zookeeper: Option<Kept>,
    http_port: u16,
    tcp_port: u16,
    zookeeper_port: u16,
    directory: TempDir,
}

impl Cluster {
    /// Starts it, and returns when each node answers. Without the build of ClickHouse that the
    /// launcher knows, the test is skipped.
    pub async fn start() -> Option<Self> {
        let check = Command::new(tool("cluster/launch.py")).arg("check").output().unwrap();
        if !check.status.success() {
            skip(String::from_utf8_lossy(&check.stderr).trim());
            return None;
        }
        let installed = Command::new(tool("zookeeper/install.sh")).status().unwrap();
        assert!(installed.success(), "tools/zookeeper/install.sh failed (see above)");
        let mut cluster = Self::new();
        cluster.start_zookeeper();
        for node in 1..=NODES {
            cluster.spawn_node(node);
        }
        for node in 1..=NODES {
            cluster.wait_for_node(node).await;
        }
        Some(cluster)
    }

    fn new() -> Self {
        // All are bound until all are known, so that they differ.
        let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = listeners.map(|listener| listener.local_addr().unwrap().port());
        let [http_port, tcp_port, zookeeper_port] = ports;
        let directory = tempfile::tempdir().unwrap();
        let nodes = [const { None }; NODES];
        Self { nodes, zookeeper: None, http_port, tcp_port, zookeeper_port, directory }
    }

    /// The configuration of a service that knows one node.
    pub fn config(&self, node: usize, database: &str) -> ClickHouseConfig {
        ClickHouseConfig {
            url: format!("http://{}:{}", client_host(node), self.http_port),
            database: database.to_owned(),
            cluster: Some(NAME.to_owned()),
            ..ClickHouseConfig::default()
        }
    }

    /// Host and port for other servers.
    pub fn native_address(&self, node: usize) -> String {
        format!("{}:{}", client_host(node), self.tcp_port)
    }

    pub fn start_zookeeper(&mut self) {
        let directory = self.directory.path().join("zookeeper");
        fs::create_dir_all(&directory).unwrap();
        let log = directory.join("log");
        let arguments = [directory.display().to_string(), self.zookeeper_port.to_string()];
        self.zookeeper = Some(Kept::start(&tool("zookeeper/zookeeper.sh"), &arguments, &log));
    }

    /// Sends SIGKILL.
    pub fn kill_zookeeper(&mut self) {
        self.zookeeper = None;
    }

    /// Sends SIGKILL to a node.
    pub fn kill_node(&mut self, node: usize) {
        self.nodes[node - 1] = None;
    }

    /// Starts a node that was killed, with its data.
    pub async fn start_node(&mut self, node: usize) {
        self.spawn_node(node);
        self.wait_for_node(node).await;
    }

    fn spawn_node(&mut self, node: usize) {
        let directory = self.node_directory(node);
        fs::create_dir_all(&directory).unwrap();
        let config = directory.join("config.xml");
        fs::write(&config, self.node_config(node)).unwrap();
        let arguments = [
            replica_host(node),
            self.http_port.to_string(),
            format!("--config-file={}", config.display()),
            format!("--path={}", directory.join("data").display()),
            format!("--http_port={}", self.http_port),
            format!("--tcp_port={}", self.tcp_port),
            SERVE.to_owned(),
        ];
        let log = directory.join("log");
        self.nodes[node - 1] = Some(Kept::start(&tool("cluster/launch.py"), &arguments, &log));
    }

    async fn wait_for_node(&self, node: usize) {
        let store = Store::new(&self.config(node, "default"));
        let log = self.node_directory(node).join("log");
        eventually(&format!("node {node} answers"), LIMIT, async || {
            store.ping().await.map_err(|_| fs::read_to_string(&log))
        })
        .await;
    }

    fn node_directory(&self, node: usize) -> PathBuf {
        self.directory.path().join(format!("node-{node}"))
    }

    /// The sessions of each node have a path of their own, since all nodes have the same id.
    fn node_config(&self, node: usize) -> String {
        format!(
            "<clickhouse>\
             <logger><level>fatal</level><log>{log}</log></logger>\
             <listen_host>{client}</listen_host><listen_host>{replica}</listen_host>\
             <zookeeper><node><host>127.0.0.1</host><port>{port}</port></node>\
             <session_timeout_ms>6000</session_timeout_ms>\
             <sessions_path>/clickhouse/sessions/{node}</sessions_path></zookeeper>\
             <macros><shard>{shard}</shard><replica>replica-{in_shard}</replica></macros>\
             <remote_servers><{NAME}>{shards}</{NAME}></remote_servers>\
             </clickhouse>",
            log = self.node_directory(node).join("failures").display(),
            client = client_host(node),
            replica = replica_host(node),
            port = self.zookeeper_port,
            shard = (node - 1) / REPLICAS + 1,
            in_shard = (node - 1) % REPLICAS + 1,
            shards = self.shards(),
        )
    }

    fn shards(&self) -> String {
        let nodes: Vec<usize> = (1..=NODES).collect();
        let mut xml = String::new();
        for shard in nodes.chunks(REPLICAS) {
            xml.push_str("<shard><internal_replication>true</internal_replication>");
            for node in shard {
                let (host, port) = (client_host(*node), self.tcp_port);
                let _ = write!(xml, "<replica><host>{host}</host><port>{port}</port></replica>");
            }
            xml.push_str("</shard>");
        }
        xml
    }
}

fn client_host(node: usize) -> String {
    format!("127.0.9.{node}")
}

fn replica_host(node: usize) -> String {
    format!("127.0.10.{node}")
}
