//! Tests suppressions and maintenance windows: made on the command line, in force in a running
//! service.

use std::process::{Command, Output};

use keywatch::alert::{Action, Alert, DetectorId, Evidence, Severity};
use keywatch::event::EventTime;
use serde_json::{Map, Value};

use crate::clickhouse::acts::store_alerts;
use crate::clickhouse::samples::alert;
use crate::support::clickhouse::{TestDatabase, database, environment, keywatch_binary, lines};
use crate::support::eventually::{LIMIT, eventually};
use crate::support::receiver::Receiver;
use crate::support::service::Service;
use crate::support::settings::Settings;

fn run(database: &TestDatabase, arguments: &[&str]) -> Output {
    Command::new(keywatch_binary())
        .arg("alerts")
        .args(arguments)
        .envs(environment(&database.config))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn alerts(database: &TestDatabase, arguments: &[&str]) -> String {
    let output = run(database, arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// An incident about the key `ak`, with one item of evidence.
fn incident(id: &str, detector: DetectorId, severity: Severity) -> Alert {
    let opened = alert(id, 1, "ak", EventTime::now());
    let evidence = Evidence { detector, fields: Map::new(), ..opened.evidence[0].clone() };
    Alert { severity, detectors: vec![detector], evidence: vec![evidence], ..opened }
}

fn told(receiver: &Receiver) -> Vec<String> {
    let read = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap();
    let calls = receiver.received();
    let mut ids: Vec<_> =
        calls.iter().map(|call| read(&call.body)["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids.dedup();
    ids
}

async fn wait_for_outcomes(database: &TestDatabase, expected: &[&str]) {
    let sql = "SELECT alert_id, outcome FROM deliveries FINAL WHERE channel = 'webhook' \
        ORDER BY alert_id, revision";
    eventually("these outcomes", LIMIT, async || {
        let found = lines(&database.store, sql).await;
        if found == expected { Ok(()) } else { Err(found) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suppressed_evidence_is_stored_and_counted_and_neither_sent_nor_acted_upon() {
    use DetectorId::{DuplicateNonce, RateSpike};
    use Severity::{Critical, High};
    let database = database().await;
    let (store, receiver) = (&database.store, Receiver::start([]).await);
    let settings = Settings::new(&database.config)
        .set("source.kind", "http")
        .set("source.http.listen", "127.0.0.1:0")
        .set("source.http.token", "a-token")
        .set("policy.dry_run", false)
        .webhook(&receiver.url, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let known = [incident("past", RateSpike, High), incident("severe", RateSpike, Critical)];
    store_alerts(store, 1, &known).await;
    store.beat(true).await.unwrap();
    let service = Service::start(&settings);
    wait_for_outcomes(&database, &["past delivered", "severe delivered"]).await;

    // Without consent nothing is changed, and what it would have hidden is said.
    let order = ["suppress", "past", "--until", "7d", "-m", "load test", "--by", "alice"];
    let output = run(&database, &order);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stdout);
    assert!(said.starts_with("rate.spike of key ak\n"), "{said}");
    assert!(said.contains("would have hidden 1 incident, of them 0 critical"), "{said}");
    assert!(said.contains("1 incident became critical"), "{said}");
    assert!(text(&output.stderr).contains("repeat the command with --yes"));
    assert_eq!(lines(store, "SELECT count() FROM suppressions").await, ["0"]);
    alerts(&database, &[&order[..], &["--yes"]].concat());
    let active = async || service.metric("keywatch_suppressions_active") == 1.0;
    eventually("it is in force", LIMIT, active).await;

    // A proposal that is suppressed asks for nothing. Other evidence of the key is sent.
    let hidden =
        Alert { action: Action::Suspend, dry_run: false, ..incident("hidden", RateSpike, High) };
    let news =
        [hidden, incident("other", DuplicateNonce, High), incident("worse", RateSpike, Critical)];
    let after = store_alerts_of_another(&database, &news);
    after.await;
    let expected = [
        "hidden suppressed",
        "other delivered",
        "past delivered",
        "severe delivered",
        "worse delivered",
    ];
    wait_for_outcomes(&database, &expected).await;
    assert_eq!(service.metric("keywatch_suppressed_total"), 1.0);
    let withdrawn = async || service.metric("keywatch_revocations_withdrawn") == 1.0;
    eventually("its proposal is withdrawn", LIMIT, withdrawn).await;
    assert_eq!(lines(store, "SELECT count() FROM revocation_requests").await, ["0"]);
    let listed = alerts(&database, &["list", "--suppressed"]);
    assert!(listed.contains("hidden") && !listed.contains("worse"), "{listed}");
    let all = alerts(&database, &["suppressions", "list"]);
    assert!(all.contains("it has hidden 1 revision in 1 incident"), "{all}");

    let id = all.split(' ').next().unwrap();
    alerts(&database, &["suppressions", "end", id, "--by", "bob"]);
    let again = run(&database, &["suppressions", "end", id, "--by", "carol"]);
    assert!(text(&again.stderr).contains("was ended by bob at 2"), "{again:?}");
    let over = async || service.metric("keywatch_suppressions_active") == 0.0;
    eventually("it is over", LIMIT, over).await;
    assert!(!told(&receiver).contains(&"hidden".to_owned()));
    assert!(service.terminate().0.success());
}

/// Stores alerts in the name of a process that leaves, so that the service inherits them.
async fn store_alerts_of_another(database: &TestDatabase, alerts: &[Alert]) {
    let other = keywatch::store::Store::new(&database.config);
    store_alerts(&other, 2, alerts).await;
    other.beat(true).await.unwrap();
}

#[tokio::test]
async fn a_suppression_of_everything_or_of_the_past_is_refused() {
    let database = database().await;
    let refused = |arguments: &[&str]| {
        let common = ["-m", "x", "--by", "alice", "--yes"];
        let output = run(&database, &[&["suppress"][..], arguments, &common].concat());
        assert_eq!(output.status.code(), Some(2));
        text(&output.stderr)
    };
    let said = refused(&["--detector", "rate.spike", "--until", "7d"]);
    assert!(said.contains("give an incident's id, or keys or tenants"), "{said}");
    let said = refused(&["--key", "ak", "--until", "2001-01-01"]);
    assert!(said.contains("--until must lie ahead"), "{said}");
    let said = refused(&["--key", "ak", "--until", "9999d"]);
    assert!(said.contains("by a year at most"), "{said}");
    assert_eq!(lines(&database.store, "SELECT count() FROM suppressions").await, ["0"]);
}
