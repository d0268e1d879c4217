//! Judges a cluster of ClickHouse by what each of its servers answered. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::finding::{Finding, Level, finding};
use crate::store::{ClusterNode, NodeAnswer, Replica};
use crate::text::{counted, duration};

/// A replica that is later than this lacks rows that readers miss.
const LATE_SECONDS: u64 = 30;
/// Tables that are named in one finding.
const NAMED: usize = 5;

/// How a cluster is.
#[derive(Debug, Serialize)]
pub struct ClusterHealth {
    pub name: String,
    pub shards: usize,
    pub nodes: usize,
    /// Nodes that answered.
    pub answering: usize,
    pub findings: Vec<Finding>,
}

impl ClusterHealth {
    /// Judges the nodes of the cluster of this name.
    pub fn of(name: &str, nodes: &[ClusterNode]) -> Self {
        let shards: BTreeSet<u32> = nodes.iter().map(|node| node.shard).collect();
        let mut findings: Vec<Finding> = nodes.iter().flat_map(of_node).collect();
        findings.extend(different_tables(nodes));
        findings.extend(quorum(nodes));
        findings.sort_by_key(|finding| finding.level);
        let answering = nodes.iter().filter(|node| node.answer.is_ok()).count();
        Self {
            name: name.to_owned(),
            shards: shards.len(),
            nodes: nodes.len(),
            answering,
            findings,
        }
    }

    /// No server could be asked for the nodes.
    pub fn unknown(name: &str, reason: String) -> Self {
        let remedy = "check url, user and password of [clickhouse], and its `cluster`".to_owned();
        let finding = finding(Level::Stop, "the cluster cannot be examined", reason, remedy);
        Self { name: name.to_owned(), shards: 0, nodes: 0, answering: 0, findings: vec![finding] }
    }

    /// Why nothing can be stored, in one sentence.
    pub fn failure(&self) -> Option<String> {
        let stop = self.findings.iter().find(|finding| finding.level == Level::Stop);
        stop.map(|finding| finding.title.clone())
    }

    pub fn summary(&self) -> String {
        let (nodes, shards) = (counted(self.nodes, "node"), counted(self.shards, "shard"));
        format!("{nodes} in {shards}; {} answered.", self.answering)
    }
}

fn of_node(node: &ClusterNode) -> Vec<Finding> {
    let host = &node.host;
    match &node.answer {
        Err(reason) => vec![finding(
            Level::Warn,
            format!("node {host} does not answer"),
            reason.clone(),
            "start it; its host_name in system.clusters must be reachable from here, on the port of clickhouse.url"
                .to_owned(),
        )],
        Ok(answer) => [missing(host, answer), readonly(host, answer), late(host, answer)]
            .into_iter()
            .flatten()
            .collect(),
    }
}

fn missing(host: &str, answer: &NodeAnswer) -> Option<Finding> {
    let missing = &answer.missing_migrations;
    let first = missing.first()?;
    Some(finding(
        Level::Warn,
        format!("node {host} lacks {}", counted(missing.len(), "migration")),
        format!("The first one is {first}."),
        "keywatch migrate -c keywatch.toml".to_owned(),
    ))
}

fn readonly(host: &str, answer: &NodeAnswer) -> Option<Finding> {
    let tables = answer.replicas.iter().filter(|replica| replica.readonly);
    let tables: Vec<&str> = tables.map(|replica| &*replica.table).collect();
    (!tables.is_empty()).then(|| {
        finding(
            Level::Warn,
            format!("{} of node {host} can only be read", counted(tables.len(), "table")),
            format!(
                "{}. The node has no session with ZooKeeper or Keeper, or its data differs from what \
                 is known there.",
                named(&tables)
            ),
            "see last_exception and zookeeper_exception in system.replicas; then SYSTEM RESTORE REPLICA"
                .to_owned(),
        )
    })
}

fn late(host: &str, answer: &NodeAnswer) -> Option<Finding> {
    let worst = answer.replicas.iter().max_by_key(|replica| replica.delay_seconds)?;
    (worst.delay_seconds >= LATE_SECONDS).then(|| {
        finding(
            Level::Warn,
            format!("node {host} is {} behind", duration(worst.delay_seconds as f64)),
            format!(
                "The latest table is {}. Readers of this node miss its newest rows.",
                worst.table
            ),
            "see last_exception in system.replication_queue of the node".to_owned(),
        )
    })
}

/// Compares the tables of each node with those that most nodes have.
fn different_tables(nodes: &[ClusterNode]) -> Vec<Finding> {
    let answers: Vec<(&str, &NodeAnswer)> =
        nodes.iter().filter_map(|node| Some((&*node.host, node.answer.as_ref().ok()?))).collect();
    let same = |tables: &Vec<(String, String)>| {
        answers.iter().filter(|(_, answer)| answer.tables == *tables).count()
    };
    let Some((_, usual)) = answers.iter().max_by_key(|(_, answer)| same(&answer.tables)) else {
        return Vec::new();
    };
    let differs = answers.iter().filter(|(_, answer)| answer.tables != usual.tables);
    differs.map(|(host, answer)| other_tables(host, &answer.tables, &usual.tables)).collect()
}

fn other_tables(host: &str, own: &[(String, String)], usual: &[(String, String)]) -> Finding {
    let differ = |these: &[(String, String)], those: &[(String, String)]| -> Vec<String> {
        these.iter().filter(|table| !those.contains(table)).map(|(name, _)| name.clone()).collect()
    };
    let names: BTreeSet<String> =
        [differ(own, usual), differ(usual, own)].concat().into_iter().collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    finding(
        Level::Warn,
        format!("node {host} has other tables than most nodes"),
        format!("{}. A migration was interrupted, or the node was replaced.", named(&names)),
        "docs/OPERATIONS.md, \"A replaced node\": SHOW CREATE TABLE on another node of the shard"
            .to_owned(),
    )
}

/// Whether inserts with a quorum can succeed, by the replicas that are connected.
fn quorum(nodes: &[ClusterNode]) -> Vec<Finding> {
    let answers: Vec<&NodeAnswer> =
        nodes.iter().filter_map(|node| node.answer.as_ref().ok()).collect();
    if answers.is_empty() {
        let detail = "Nothing can be stored or read.";
        return vec![finding(Level::Stop, "no node of the cluster answers", detail, None)];
    }
    let replicas = answers.iter().flat_map(|answer| &answer.replicas);
    let mut without = BTreeMap::new();
    let mut tight = BTreeMap::new();
    for replica in replicas {
        match replica.active.cmp(&needed(replica)) {
            std::cmp::Ordering::Less => without.insert(&*replica.table, replica),
            std::cmp::Ordering::Equal => tight.insert(&*replica.table, replica),
            std::cmp::Ordering::Greater => None,
        };
    }
    let first = without.values().next().map(|replica| no_quorum(replica, without.len()));
    let spare = || tight.values().next().map(|replica| no_spare(replica, tight.len()));
    first.or_else(spare).into_iter().collect()
}

/// `insert_quorum = auto`: more than half.
const fn needed(replica: &Replica) -> u32 {
    replica.total / 2 + 1
}

fn no_quorum(replica: &Replica, tables: usize) -> Finding {
    let Replica { table, active, total, .. } = replica;
    finding(
        Level::Stop,
        format!("{} without quorum: nothing is stored", counted(tables, "table")),
        format!(
            "{table} has {active} of {total} replicas connected, and needs {}. Keywatch waits, and \
             the log keeps the records.",
            needed(replica)
        ),
        "start the nodes that are away, and ZooKeeper or Keeper".to_owned(),
    )
}

fn no_spare(replica: &Replica, tables: usize) -> Finding {
    let Replica { table, active, total, .. } = replica;
    finding(
        Level::Note,
        format!("{} would lose the quorum with one more node away", counted(tables, "table")),
        format!(
            "{table} has {active} of {total} replicas connected, and needs {}. With three replicas a \
             shard, storing goes on without one.",
            needed(replica)
        ),
        None,
    )
}

fn named(tables: &[&str]) -> String {
    let names = tables.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = tables.len().saturating_sub(NAMED);
    if more == 0 { names } else { format!("{names} and {more} more") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn replica(active: u32, total: u32) -> Replica {
        let table = "access_events_local".to_owned();
        Replica { table, readonly: false, delay_seconds: 0, active, total }
    }

    fn node(host: &str, shard: u32, replica: Replica) -> ClusterNode {
        let tables = vec![("alerts".to_owned(), "CREATE TABLE alerts".to_owned())];
        let answer = NodeAnswer { tables, replicas: vec![replica], ..NodeAnswer::default() };
        ClusterNode { host: host.to_owned(), shard, answer: Ok(answer) }
    }

    fn titles(nodes: &[ClusterNode]) -> Vec<(Level, String)> {
        let findings = ClusterHealth::of("kw", nodes).findings;
        findings.into_iter().map(|finding| (finding.level, finding.title)).collect()
    }

    fn three() -> Vec<ClusterNode> {
        ["a", "b", "c"].map(|host| node(host, 1, replica(3, 3))).into()
    }

    #[test]
    fn a_cluster_that_works_has_no_finding() {
        assert_eq!(titles(&three()), []);
        let health = ClusterHealth::of("kw", &three());
        assert_eq!(health.summary(), "3 nodes in 1 shard; 3 answered.");
        assert_eq!(health.failure(), None);
    }

    #[test]
    fn a_node_that_is_away_is_named_and_the_quorum_counted_without_it() {
        let mut nodes: Vec<_> = ["a", "b", "c"].map(|host| node(host, 1, replica(2, 3))).into();
        nodes[1].answer = Err("connection refused".into());
        let found = titles(&nodes);
        assert_eq!(found[0], (Level::Warn, "node b does not answer".into()));
        assert_eq!(found[1].0, Level::Note, "{found:?}");
        let lonely = titles(&[node("a", 1, replica(1, 2))]);
        assert_eq!(lonely, [(Level::Stop, "1 table without quorum: nothing is stored".into())]);
        nodes.iter_mut().for_each(|node| node.answer = Err("away".into()));
        let failure = ClusterHealth::of("kw", &nodes).failure();
        assert_eq!(failure.as_deref(), Some("no node of the cluster answers"));
    }

    #[test]
    fn replicas_that_are_late_or_read_only_are_named() {
        let mut nodes = three();
        let answer = nodes[2].answer.as_mut().unwrap();
        answer.replicas[0].delay_seconds = 90;
        answer.replicas[0].readonly = true;
        let found = titles(&nodes);
        assert!(found.iter().any(|(_, title)| title == "1 table of node c can only be read"));
        assert!(found.iter().any(|(_, title)| title.starts_with("node c is ")), "{found:?}");
        nodes[2].answer.as_mut().unwrap().replicas[0].delay_seconds = LATE_SECONDS - 1;
        assert_eq!(titles(&nodes).len(), 1);
    }

    #[test]
    fn a_node_with_other_tables_or_migrations_is_named() {
        let mut nodes = three();
        let answer = nodes[0].answer.as_mut().unwrap();
        answer.tables[0].1.push_str(" (changed)");
        answer.missing_migrations = vec!["0020_audit.sql", "0021_source_usage.sql"];
        let health = ClusterHealth::of("kw", &nodes);
        let titles: Vec<_> = health.findings.iter().map(|finding| &*finding.title).collect();
        assert_eq!(
            titles,
            ["node a lacks 2 migrations", "node a has other tables than most nodes"]
        );
        assert!(health.findings[1].detail.starts_with("alerts. "), "{:?}", health.findings[1]);
    }
}
