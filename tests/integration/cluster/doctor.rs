//! Tests that `keywatch doctor` tells what is wrong with a cluster.

use std::process::Command;

use keywatch::store::Store;
use serde_json::Value;

use super::settings;
use crate::support::clickhouse::{client, keywatch_binary};
use crate::support::cluster::Cluster;
use crate::support::eventually::{LIMIT, eventually};

/// The exit code, and the levels and titles of the findings.
fn examine(cluster: &Cluster) -> (Option<i32>, Vec<(String, String)>) {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("keywatch.toml");
    std::fs::write(&config, settings(&cluster.config(1, "keywatch")).to_string()).unwrap();
    let mut doctor = Command::new(keywatch_binary());
    doctor.args(["doctor", "--cluster", "--json", "-c"]).arg(config);
    let output = doctor.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let page: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = page["cluster"]["findings"].as_array().unwrap().iter();
    let findings = findings.map(|finding| (text(&finding["level"]), text(&finding["title"])));
    (output.status.code(), findings.collect())
}

#[tokio::test]
#[ignore = "needs a cluster: make cluster"]
async fn the_doctor_names_other_tables_nodes_that_are_away_and_a_lost_quorum() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let (code, before) = examine(&cluster);
    assert_eq!(code, Some(0), "{before:?}");
    let without = before.iter().filter(|(level, title)| level == "warn" && title.contains("lacks"));
    assert_eq!(without.count(), 4, "no node has migrations: {before:?}");

    Store::new(&cluster.config(1, "keywatch")).migrate().await.unwrap();
    let (code, findings) = examine(&cluster);
    assert_eq!(code, Some(0), "{findings:?}");
    let [(level, title)] = &findings[..] else { panic!("{findings:?}") };
    assert!(level == "note" && title.contains("would lose the quorum"), "{findings:?}");

    let third = client(&cluster.config(3, "keywatch"));
    third.query("DROP TABLE key_usage_hour_view").execute().await.unwrap();
    let (code, findings) = examine(&cluster);
    assert_eq!(code, Some(0), "{findings:?}");
    let other = ("warn".to_owned(), "node 127.0.9.3 has other tables than most nodes".to_owned());
    assert!(findings.contains(&other), "{findings:?}");

    cluster.kill_node(4);
    // ZooKeeper counts the node until its session ends.
    let findings = eventually("the quorum is lost", LIMIT, async || {
        let (code, findings) = examine(&cluster);
        if code == Some(1) { Ok(findings) } else { Err(findings) }
    })
    .await;
    assert!(findings[0].0 == "stop" && findings[0].1.contains("without quorum"), "{findings:?}");
    let away = ("warn".to_owned(), "node 127.0.9.4 does not answer".to_owned());
    assert!(findings.contains(&away), "{findings:?}");
}
