//! Tests what a running service does with the alerts of incidents that people have closed.

use std::fs;
use std::path::Path;

use keywatch::alert::{Action, Alert, AlertType};
use keywatch::event::EventTime;
use keywatch::store::Store;
use keywatch::workflow::Kind;
use reqwest::Client;
use serde_json::{Value, json};

use crate::clickhouse::acts::{act, store_alerts};
use crate::clickhouse::samples::alert;
use crate::support::clickhouse::{TestDatabase, database, environment, keywatch_binary, lines};
use crate::support::eventually::{LIMIT, eventually};
use crate::support::receiver::Receiver;
use crate::support::service::Service;
use crate::support::settings::Settings;

/// A live policy needs one.
const TOKEN: &str = "a-token";
const OWNER: &str = "81.2.69.10";
const THIEF: &str = "45.83.64.66";
/// Requests of the key before anything unusual: thirty hours, one in twenty seconds.
const HONEST: u32 = 5_400;

/// A live policy in which every revocation waits for budget.
fn settings(database: &TestDatabase, folder: &Path, receiver: &Receiver) -> Settings {
    let registry = folder.join("keys.jsonl");
    fs::write(&registry, r#"{"key_id":"ak","allowed_cidrs":["81.2.69.0/24"]}"#).unwrap();
    Settings::new(&database.config)
        .set("source.kind", "http")
        .set("source.http.listen", "127.0.0.1:0")
        .set("source.http.token", TOKEN)
        .set("detect.registry_file", registry.to_str().unwrap())
        .set("policy.dry_run", false)
        .set("policy.max_revocations_per_hour", 0)
        .webhook(&receiver.url, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
}

/// Requests of the key that are not sent yet.
struct Log {
    now: EventTime,
    events: String,
    /// Number of the next request, and its nonce.
    next: u32,
}

impl Log {
    fn new() -> Self {
        Self { now: EventTime::now(), events: String::new(), next: 0 }
    }

    fn honest(&mut self, seconds_ago: f64) {
        self.request(seconds_ago, OWNER, self.next);
    }

    fn request(&mut self, seconds_ago: f64, ip: &str, nonce: u32) {
        let time = self.now.plus_seconds(-seconds_ago);
        let request_id = self.next.to_string();
        self.next += 1;
        let event = json!({
            "time": time, "request_id": request_id, "key_id": "ak", "client_ip": ip,
            "method": "GET", "path": "/v1/orders", "status": 200, "nonce": format!("n{nonce}"),
        });
        self.events += &format!("{event}\n");
    }

    async fn send_to(&mut self, service: &Service) {
        // Another test may have installed the provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let address = service.logged_address("accepting events at POST /v1/events");
        let body = std::mem::take(&mut self.events);
        let answer = Client::new()
            .post(format!("http://{address}/v1/events"))
            .header("content-type", "application/x-ndjson")
            .bearer_auth(TOKEN)
            .body(body)
            .send();
        assert_eq!(answer.await.unwrap().status(), 200);
    }
}

fn run(database: &TestDatabase, arguments: &[&str]) -> std::process::Output {
    std::process::Command::new(keywatch_binary())
        .arg("alerts")
        .args(arguments)
        .envs(environment(&database.config))
        .output()
        .unwrap()
}

/// Runs `keywatch alerts` and expects success.
fn alerts(database: &TestDatabase, arguments: &[&str]) -> String {
    let output = run(database, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The alerts that the receiver got, as pairs of revision and alert.
fn received(receiver: &Receiver) -> Vec<(u64, Value)> {
    let alert = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap();
    let received = receiver.received();
    let alerts = received.iter().map(|call| alert(&call.body));
    alerts.map(|alert| (alert["revision"].as_u64().unwrap(), alert)).collect()
}

/// Outcomes of all revisions at the webhook.
async fn outcomes(store: &Store) -> Vec<String> {
    let sql = "SELECT revision, outcome FROM deliveries FINAL WHERE channel = 'webhook' \
        ORDER BY alert_id, revision, attempt";
    lines(store, sql).await
}

async fn wait_for_outcomes(store: &Store, expected: &[&str]) {
    eventually("these outcomes", LIMIT, async || {
        let found = outcomes(store).await;
        if found == expected { Ok(()) } else { Err(found) }
    })
    .await;
}

async fn wait_for_metric(service: &Service, name: &str, value: f64) {
    eventually(&format!("{name} is {value}"), LIMIT, async || {
        let found = service.metric(name);
        if found == value { Ok(()) } else { Err(found) }
    })
    .await;
}

#[tokio::test]
async fn the_same_kind_of_evidence_of_a_dismissed_incident_is_not_sent_and_a_new_kind_is() {
    let database = database().await;
    let (store, receiver) = (&database.store, Receiver::start([]).await);
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&database, folder.path(), &receiver);
    let service = Service::start(&settings);
    let mut log = Log::new();
    (0..HONEST).rev().for_each(|n| log.honest(420.0 + 20.0 * f64::from(n)));
    log.send_to(&service).await;
    // Faster, until it is noticed. The source answers when the request and its alerts are stored.
    let mut seconds_ago = 390.0;
    while lines(store, "SELECT count() FROM alerts").await == ["0"] {
        assert!(seconds_ago > 320.0, "the spike is noticed");
        seconds_ago -= 0.75;
        log.honest(seconds_ago);
        log.send_to(&service).await;
    }
    wait_for_outcomes(store, &["1 delivered"]).await;
    let id = received(&receiver)[0].1["id"].as_str().unwrap().to_owned();

    let dismissal = ["dismiss", &id, "--reason", "false_deploy", "--by", "alice"];
    alerts(&database, &dismissal);
    wait_for_metric(&service, "keywatch_quiet_incidents", 1.0).await;
    (0..400).for_each(|n| log.honest(310.0 - 0.075 * f64::from(n)));
    log.send_to(&service).await;
    wait_for_outcomes(store, &["1 delivered", "2 kept_quiet"]).await;
    assert_eq!(service.metric("keywatch_kept_quiet_total"), 1.0);
    assert!(alerts(&database, &["list"]).lines().count() == 1, "the incident stays closed");

    // A nonce again, from a network that the key may not use. The fourth revision says that the
    // revocation waits for budget.
    log.request(270.0, THIEF, HONEST - 5);
    log.send_to(&service).await;
    let all = ["1 delivered", "2 kept_quiet", "3 delivered", "4 delivered"];
    wait_for_outcomes(store, &all).await;
    let calls = received(&receiver);
    let revisions: Vec<u64> = calls.iter().map(|(revision, _)| *revision).collect();
    assert_eq!(revisions, [1, 3, 4]);
    assert_eq!(calls[1].1["restraint"], Value::Null);
    assert_eq!(calls[2].1["restraint"], "budget");
    let told = calls[1].1["explanation"].as_str().unwrap();
    assert!(told.contains("It was dismissed as false_deploy by alice at 2"), "{told}");
    assert!(told.contains("is open again, because replay.duplicate_nonce"), "{told}");
    assert_eq!(calls[1].1["state"], "open");
    // What is stored is the core's.
    let stored = "SELECT countIf(position(alert, 'open again') > 0) FROM alerts";
    assert_eq!(lines(store, stored).await, ["0"]);
    assert!(alerts(&database, &["list"]).contains(&id), "the incident is open again");

    // The revocation waits for budget. A dismissal withdraws it, a reopening brings it back.
    wait_for_metric(&service, "keywatch_revocations_waiting", 1.0).await;
    alerts(&database, &["dismiss", &id, "--reason", "test", "--by", "bob"]);
    wait_for_metric(&service, "keywatch_revocations_waiting", 0.0).await;
    wait_for_metric(&service, "keywatch_revocations_withdrawn", 1.0).await;
    alerts(&database, &["reopen", &id, "--by", "bob"]);
    wait_for_metric(&service, "keywatch_revocations_waiting", 1.0).await;
    alerts(&database, &["confirm", &id, "--by", "bob"]);
    wait_for_metric(&service, "keywatch_quiet_incidents", 1.0).await;
    assert_eq!(service.metric("keywatch_revocations_waiting"), 1.0, "a theft is revoked");

    // A restart sends nothing again, and nothing that was kept quiet.
    assert!(service.terminate().0.success());
    let again = Service::start(&settings);
    wait_for_metric(&again, "keywatch_quiet_incidents", 1.0).await;
    assert!(again.terminate().0.success());
    assert_eq!(received(&receiver).len(), 3);
    assert_eq!(outcomes(store).await, all);
}

/// The receiver answers on another thread while this one waits for a command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_to_revoke_that_was_not_delivered_is_withdrawn_when_its_incident_is_dismissed() {
    let database = database().await;
    let (store, receiver) = (&database.store, Receiver::start([]).await);
    let folder = tempfile::tempdir().unwrap();
    let now = EventTime::now();
    let requested = |id: &str| {
        let opened = alert(id, 1, &format!("key-{id}"), now);
        let opened = Alert { action: Action::Revoke, dry_run: false, ..opened };
        let alert_type = AlertType::RevocationRequested;
        [opened.clone(), Alert { alert_type, revision: 2, ..opened }]
    };
    let incidents = [requested("a"), requested("b"), requested("c")].concat();
    store_alerts(store, 0, &incidents).await;
    let acts =
        [act("a", "1", Kind::Dismiss, &incidents[0]), act("b", "2", Kind::Confirm, &incidents[2])];
    store.record_acts(&acts).await.unwrap();
    // The service delivers what this process leaves.
    store.beat(true).await.unwrap();

    let service = Service::start(&settings(&database, folder.path(), &receiver));
    let expected = [
        "1 kept_quiet",
        "2 withdrawn", // dismissed
        "1 kept_quiet",
        "2 delivered", // confirmed
        "1 delivered",
        "2 delivered", // untouched
    ];
    wait_for_outcomes(store, &expected).await;
    let mut told: Vec<_> = received(&receiver)
        .iter()
        .map(|(revision, alert)| format!("{} {revision}", alert["id"].as_str().unwrap()))
        .collect();
    told.sort();
    assert_eq!(told, ["b 2", "c 1", "c 2"]);
    // A person may send again what was kept quiet, and not what was withdrawn.
    let config = folder.path().join("again.toml");
    fs::write(&config, settings(&database, folder.path(), &receiver).to_string()).unwrap();
    let config = ["-c", config.to_str().unwrap()];
    let again = ["redeliver", "a", "--revision", "1", "--by", "carol"];
    let said = alerts(&database, &[&again[..], &config].concat());
    assert_eq!(said, "webhook: revision 1 is delivered: accepted by 127.0.0.1\n");
    let call = receiver.received().pop().unwrap();
    assert_eq!(call.header("webhook-id"), "a-1");
    let row = "SELECT attempt, outcome, detail FROM deliveries WHERE detail LIKE 'sent again%'";
    let row = lines(store, row).await;
    assert_eq!(row, ["1 delivered sent again by carol: accepted by 127.0.0.1"]);
    let refused = run(&database, &[&["redeliver", "a", "--revision", "2"][..], &config].concat());
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.contains("`keywatch alerts reopen a` comes first"), "{refused}");

    let test = ["test", "--channel", "webhook", "--by", "carol"];
    let said = alerts(&database, &[&test[..], &config].concat());
    assert!(said.starts_with("webhook: the sample test_"), "{said}");
    let (_, sample) = received(&receiver).pop().unwrap();
    assert!(sample["title"].as_str().unwrap().starts_with("TEST: "), "{sample}");
    assert_eq!((&sample["key_id"], &sample["action"]), (&Value::Null, &"observe".into()));
    let unknown = run(&database, &[&["test", "--channel", "pager"][..], &config].concat());
    let unknown = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(unknown.contains("no channel is named pager; the configuration has webhook"));

    let reasons = "SELECT detail FROM deliveries WHERE outcome = 'withdrawn'";
    let reason = lines(store, reasons).await.concat();
    assert!(reason.starts_with("dismissed as false_travel by author of 1 at 2"), "{reason}");
    assert!(service.terminate().0.success());
}
