//! Tests how a running service requests suspensions and revocations: approvals, the breaker, and
//! requests that come too late.

use std::process::{Command, Output};

use keywatch::alert::{Action, Alert, AlertType, DetectorId, Evidence, Handling, Severity};
use keywatch::detect::Family;
use keywatch::event::EventTime;
use keywatch::registry::DeedKind;
use keywatch::respond::Spent;
use keywatch::store::Store;
use serde_json::{Map, Value};

use crate::clickhouse::acts::store_alerts;
use crate::clickhouse::samples::alert;
use crate::support::clickhouse::{
    TestDatabase, client, database, environment, keywatch_binary, lines,
};
use crate::support::eventually::{LIMIT, eventually};
use crate::support::mailbox::Mailbox;
use crate::support::receiver::{Answer, Receiver};
use crate::support::service::Service;
use crate::support::settings::Settings;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A live policy.
pub fn settings(database: &TestDatabase, receiver: &Receiver) -> Settings {
    Settings::new(&database.config)
        .set("source.kind", "http")
        .set("source.http.listen", "127.0.0.1:0")
        .set("source.http.token", "a-token")
        .set("policy.dry_run", false)
        .webhook(&receiver.url, SECRET)
}

/// Proposes `action` on a key of its own and of its own tenant, on replays.
pub fn proposal(id: &str, action: Action) -> Alert {
    let opened = alert(id, 1, &format!("key-{id}"), EventTime::now());
    let evidence = Evidence {
        detector: DetectorId::DuplicateNonce,
        fields: Map::new(),
        ..opened.evidence[0].clone()
    };
    Alert {
        tenant: Some(format!("tenant-{id}")),
        severity: Severity::Critical,
        confidence: 0.95,
        detectors: vec![DetectorId::DuplicateNonce],
        evidence: vec![evidence],
        dry_run: false,
        action,
        ..opened
    }
}

/// Leaves the alerts to the service, as a process that has left.
pub async fn leave(store: &Store, alerts: &[Alert]) {
    store_alerts(store, EventTime::now().as_micros(), alerts).await;
    store.beat(true).await.unwrap();
}

fn run(database: &TestDatabase, arguments: &[&str]) -> Output {
    command(database, arguments).output().unwrap()
}

fn command(database: &TestDatabase, arguments: &[&str]) -> Command {
    let mut command = Command::new(keywatch_binary());
    command.arg("alerts").args(arguments).envs(environment(&database.config));
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs `keywatch alerts` and expects success.
pub fn alerts(database: &TestDatabase, arguments: &[&str]) -> String {
    let output = run(database, arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn refused(database: &TestDatabase, arguments: &[&str]) -> String {
    let output = run(database, arguments);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    text(&output.stderr)
}

/// The calls about this incident, as pairs of type and restraint.
fn told(receiver: &Receiver, id: &str) -> Vec<(String, Value)> {
    let read = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap();
    let calls = receiver.received();
    let alerts = calls.iter().map(|call| read(&call.body)).filter(|alert| alert["id"] == id);
    alerts.map(|it| (it["type"].as_str().unwrap().to_owned(), it["restraint"].clone())).collect()
}

pub async fn wait_until_told(receiver: &Receiver, id: &str, kind: &str, restraint: Value) -> Value {
    eventually(&format!("{id}: {kind} {restraint}"), LIMIT, async || {
        let found = told(receiver, id);
        if found.contains(&(kind.to_owned(), restraint.clone())) { Ok(()) } else { Err(found) }
    })
    .await;
    let read = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap();
    let calls = receiver.received();
    let mut alerts = calls.iter().map(|call| read(&call.body));
    alerts.find(|it| it["id"] == id && it["type"] == kind && it["restraint"] == restraint).unwrap()
}

/// Two people answer the mail at once, and a third one comes too late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_a_tenant_that_matters_is_revoked_when_one_person_has_approved_it() {
    let database = database().await;
    let (store, receiver) = (&database.store, Receiver::start([]).await);
    let mailbox = Mailbox::start(&[]);
    let settings = settings(&database, &receiver)
        .set("policy.approval.tenants", vec!["tenant-bank", "tenant-shop"])
        .mail_to(&mailbox, "security@example.com");
    leave(store, &[proposal("bank", Action::Revoke), proposal("shop", Action::Revoke)]).await;
    let service = Service::start(&settings);
    wait_until_told(&receiver, "bank", "alert.updated", "approval_pending".into()).await;
    wait_until_told(&receiver, "shop", "alert.updated", "approval_pending".into()).await;
    assert_eq!(service.metric("keywatch_revocations_waiting"), 2.0);
    let mail = eventually("a mail asks for the approval", LIMIT, async || {
        let mut mails = mailbox.mails().into_iter();
        mails
            .find(|mail| {
                mail.subject.starts_with("[CRITICAL, approval needed]")
                    && mail.text.contains("key-bank")
            })
            .ok_or_else(|| mailbox.mails().into_iter().map(|mail| mail.subject).collect::<Vec<_>>())
    })
    .await;
    let words = mail.text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("No request was made yet, because a person must approve it"), "{words}");
    assert!(words.contains("keywatch alerts approve bank"), "{words}");
    let listed = alerts(&database, &["list", "--waiting", "--json"]);
    assert_eq!(listed.matches("\"waits_for\":\"approval_pending\"").count(), 2, "{listed}");

    // One of two people at once counts, and the other is told.
    let people = ["alice", "bob"].map(|who| {
        let arguments = ["approve", "bank", "--by", who];
        let mut command = command(&database, &arguments);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command.spawn().unwrap()
    });
    let outputs = people.map(|person| person.wait_with_output().unwrap());
    let loser = outputs.iter().find(|output| !output.status.success()).expect("one is refused");
    let said = text(&loser.stderr);
    let reasons = ["was approved by alice", "was approved by bob", "has a request for its action"];
    assert!(reasons.iter().any(|reason| said.contains(reason)), "{said}");
    assert!(outputs.iter().any(|output| output.status.success()));

    let request = wait_until_told(&receiver, "bank", "key.revocation_requested", Value::Null).await;
    assert!(request["deadline"].is_string(), "{request}");
    let late = refused(&database, &["approve", "bank", "--by", "carol"]);
    assert!(late.contains("was approved by") || late.contains("has a request"), "{late}");

    // An approval of what was dismissed meanwhile.
    alerts(&database, &["dismiss", "shop", "--reason", "test", "--by", "dave"]);
    let late = refused(&database, &["approve", "shop", "--by", "carol"]);
    assert!(late.contains("incident shop was dismissed as test by dave at 2"), "{late}");
    let waits = async || service.metric("keywatch_revocations_waiting") == 0.0;
    eventually("nothing waits", LIMIT, waits).await;
    assert!(service.terminate().0.success());
    let requests = "SELECT incident, action FROM revocation_requests";
    assert_eq!(lines(store, requests).await, ["bank revoke"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_proposal_is_not_requested_and_new_evidence_asks_again() {
    let database = database().await;
    let (store, receiver) = (&database.store, Receiver::start([]).await);
    let settings =
        settings(&database, &receiver).set("policy.approval.tenants", vec!["tenant-bank"]);
    leave(store, &[proposal("bank", Action::Suspend)]).await;
    let service = Service::start(&settings);
    wait_until_told(&receiver, "bank", "alert.updated", "approval_pending".into()).await;
    let said = alerts(&database, &["approve", "bank", "--reject", "--by", "alice"]);
    assert!(said.starts_with("bank: rejected; no request to suspend the key"), "{said}");
    let again = refused(&database, &["approve", "bank", "--by", "bob"]);
    assert!(again.contains("it was rejected by alice at 2"), "{again}");
    let withdrawn = async || service.metric("keywatch_revocations_withdrawn") == 1.0;
    eventually("it is withdrawn", LIMIT, withdrawn).await;

    let worse =
        Alert { revision: 6, alert_type: AlertType::Updated, ..proposal("bank", Action::Revoke) };
    store_alerts(store, 7, &[worse]).await;
    let waits = async || service.metric("keywatch_revocations_waiting") == 1.0;
    eventually("a revocation waits for approval", LIMIT, waits).await;
    alerts(&database, &["approve", "bank", "--by", "bob"]);
    wait_until_told(&receiver, "bank", "key.revocation_requested", Value::Null).await;
    assert!(service.terminate().0.success());
    let requests = "SELECT incident, action FROM revocation_requests";
    assert_eq!(lines(store, requests).await, ["bank revoke"]);
}

#[tokio::test]
async fn an_open_breaker_holds_up_all_but_the_most_certain_and_tells_people() {
    let database = database().await;
    let (store, receiver) = (&database.store, Receiver::start([]).await);
    let settings = settings(&database, &receiver).set("policy.breaker_same_evidence", 2);
    let mut proposals: Vec<Alert> = ["a", "b", "c", "d", "e"]
        .iter()
        .enumerate()
        .map(|(n, id)| Alert {
            first_event_time: EventTime::now().plus_seconds(n as f64 - 60.0),
            confidence: 0.8,
            ..proposal(id, Action::Suspend)
        })
        .collect();
    proposals[4].confidence = 0.93;
    leave(store, &proposals).await;
    let service = Service::start(&settings);
    for id in ["a", "b", "c", "e"] {
        let request = wait_until_told(&receiver, id, "key.suspension_requested", Value::Null).await;
        assert!(request["suspend_until"].is_string(), "{request}");
    }
    wait_until_told(&receiver, "d", "alert.updated", "breaker".into()).await;
    assert_eq!(service.metric("keywatch_suspensions_waiting"), 1.0);
    assert_eq!(service.metric("keywatch_breaker_open"), 1.0);
    let breaker = "SELECT title FROM alerts FINAL WHERE has(detectors, 'monitor.breaker_open')";
    eventually("people are told", LIMIT, async || {
        let found = lines(store, breaker).await;
        if found.len() == 1 { Ok(()) } else { Err(found) }
    })
    .await;
    assert!(lines(store, breaker).await[0].starts_with("Breaker open: "));
    let kept = "SELECT incident FROM revocation_requests WHERE is_kept";
    assert_eq!(lines(store, kept).await, ["e"]);
    assert!(service.terminate().0.success());
}

#[tokio::test]
async fn a_request_that_comes_too_late_is_withdrawn() {
    let database = database().await;
    let (store, receiver) = (&database.store, Receiver::start([]).await);
    let now = EventTime::now();
    let requested = |id: &str, deadline: f64| {
        let opened = proposal(id, Action::Revoke);
        let handling =
            Handling { deadline: Some(now.plus_seconds(deadline)), ..Handling::default() };
        let (alert_type, revision) = (AlertType::RevocationRequested, 2);
        [opened.clone(), Alert { alert_type, revision, handling, ..opened }]
    };
    let late = requested("late", -1.0);
    let ended = requested("ended", 3_600.0);
    let good = requested("good", 3_600.0);
    for (number, request) in [&late[1], &ended[1], &good[1]].into_iter().enumerate() {
        let spent = Spent {
            time: now,
            action: Action::Revoke,
            key_id: "key".into(),
            tenant: None,
            family: Some(Family::Replay),
            is_kept: false,
        };
        store.record_request(number as u64 + 1, request, &spent).await.unwrap();
    }
    let end = Alert {
        alert_type: AlertType::Resolved,
        revision: 5,
        detected_at: EventTime::now().plus_seconds(1.0),
        ..ended[0].clone()
    };
    leave(store, &[&late[..], &ended, &good, &[end]].concat()).await;
    let service = Service::start(&settings(&database, &receiver));
    let outcomes = "SELECT alert_id, outcome FROM deliveries FINAL \
        WHERE channel = 'webhook' AND revision = 2 ORDER BY alert_id";
    eventually("the outcomes of the requests", LIMIT, async || {
        let found = lines(store, outcomes).await;
        let expected = ["ended withdrawn", "good delivered", "late withdrawn"];
        if found == expected { Ok(()) } else { Err(found) }
    })
    .await;
    assert!(service.terminate().0.success());
}

/// The receiver says that it has revoked the key: four steps, each with its word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_receiver_has_done_is_confirmed_and_an_event_of_the_key() {
    let database = database().await;
    let proposed = Answer::Status(204);
    let receiver = Receiver::start([proposed, Answer::Body(r#"{"status":"revoked"}"#)]).await;
    leave(&database.store, &[proposal("shop", Action::Revoke)]).await;
    // Rows of a change that another one overtook say nothing.
    let overtaken = "INSERT INTO key_event_rows (change, key_id, kind, time, source, text) \
        SELECT 'overtaken', 'key-shop', 'revoked', now64(6), 'webhook', \
            concat('answer to shop-', toString(number)) FROM numbers(9)";
    client(&database.config).query(overtaken).execute().await.unwrap();
    let _service = Service::start(&settings(&database, &receiver));
    wait_until_told(&receiver, "shop", "key.revocation_requested", Value::Null).await;
    let shown = eventually("the answer is an event of the key", LIMIT, async || {
        // A terminal gets words; here a pipe asks for JSON.
        let shown: Value =
            serde_json::from_str(&alerts(&database, &["show", "shop", "--json"])).unwrap();
        let response = shown["response"].clone();
        if response["confirmed"] == "revoked" { Ok(response) } else { Err(response) }
    })
    .await;
    assert!(shown["requested_at"].is_string() && shown["sent_at"].is_string(), "{shown}");
    assert_eq!(shown["answered"], "accepted by 127.0.0.1, which answered: revoked");
    assert_eq!(shown["confirmed_by"], "the receiver's answer");
    let events = database.store.key_news(0).await.unwrap().deeds;
    assert_eq!((&*events[0].key_id, events[0].kind), ("key-shop", DeedKind::Revoked));
}
