//! Tests the receivers of `examples/receivers` against stand-ins of key stores, called by Keywatch's
//! own webhook, and by messages that the reference implementation signs.

mod aws;
mod running;
mod stores;

#[allow(dead_code)]
#[path = "../../../examples/receivers/rust/main.rs"]
mod example;

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use keywatch::alert::{Action, Alert, AlertType, Severity};
use keywatch::config::{Secret, WebhookConfig};
use keywatch::deliver::{Channel, WebhookChannel};
use keywatch::event::EventTime;
use serde_json::{Value, json};

use self::running::{Language, Running, SECRET};
use self::stores::{KeyStore, Kind};
use crate::support::eventually::{LIMIT, eventually};

const KEY: &str = "key_2cGKbMxRyIzhCxo1Idjz8q";
const LANGUAGES: [Language; 2] = [Language::Python, Language::Rust];

/// A request of Keywatch about [`KEY`].
fn request(alert_type: AlertType, revision: u32) -> Alert {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/alerts/revocation_requested.json");
    let alert: Alert = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    Alert { alert_type, revision, key_id: Some(KEY.into()), ..alert }
}

fn suspension(revision: u32, seconds: f64) -> Alert {
    let mut alert = request(AlertType::SuspensionRequested, revision);
    alert.action = Action::Suspend;
    alert.handling.suspend_until = Some(EventTime::now().plus_seconds(seconds));
    alert
}

/// Sends the alert as the service does, and returns what the receiver said.
async fn told(receiver: &Running, alert: Alert) -> String {
    let channel = WebhookChannel::new(&WebhookConfig {
        url: receiver.url.clone(),
        secret: Secret::new(SECRET),
        secret_file: None,
        min_severity: Severity::Low,
        timeout_seconds: 10,
        max_in_flight: 1,
    });
    match channel.unwrap().deliver(&[Arc::new(alert)]).await {
        Ok(detail) => detail.split(": ").nth(1).unwrap_or("nothing").to_owned(),
        Err(error) => error.to_string(),
    }
}

/// A key is suspended, comes back, and is revoked; a message that comes twice acts once.
async fn lives_and_dies(language: Language, kind: Kind) {
    let store = KeyStore::start(kind, &[KEY]).await;
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal.jsonl");
    let receiver = Running::start(language, kind.recipe(), &store.url, &journal).await;

    let can_suspend = !matches!(kind, Kind::Kong);
    let said = told(&receiver, suspension(1, 3_600.0)).await;
    assert_eq!(said, if can_suspend { "suspended" } else { "refused" }, "{language:?} {kind:?}");
    assert_eq!(store.works(KEY), Some(!can_suspend));
    // The end of the suspension is that of the message which ends later.
    drop(receiver);
    std::fs::remove_file(&journal).unwrap();
    let receiver = Running::start(language, kind.recipe(), &store.url, &journal).await;
    told(&receiver, suspension(2, 0.0)).await;
    eventually("the suspension ends", LIMIT, async || store.works(KEY) == Some(true)).await;

    let revocation = request(AlertType::RevocationRequested, 3);
    assert_eq!(told(&receiver, revocation.clone()).await, "revoked", "{language:?} {kind:?}");
    assert_eq!(store.works(KEY), None);
    let calls = store.calls();
    // The process that comes after a kill knows what was answered.
    drop(receiver);
    let receiver = Running::start(language, kind.recipe(), &store.url, &journal).await;
    assert_eq!(told(&receiver, revocation).await, "revoked");
    assert_eq!(
        told(&receiver, suspension(4, 60.0)).await,
        if can_suspend { "revoked" } else { "refused" }
    );
    assert_eq!(store.calls(), calls, "{language:?} {kind:?}");
}

#[tokio::test]
async fn kong_is_asked_as_it_documents() {
    for language in LANGUAGES {
        lives_and_dies(language, Kind::Kong).await;
    }
}

#[tokio::test]
async fn aws_is_asked_with_signed_requests() {
    lives_and_dies(Language::Python, Kind::Aws).await;
}

#[tokio::test]
async fn tyk_is_asked_as_it_documents() {
    for language in LANGUAGES {
        lives_and_dies(language, Kind::Tyk).await;
    }
}

#[tokio::test]
async fn unkey_is_asked_as_it_documents() {
    for language in LANGUAGES {
        lives_and_dies(language, Kind::Unkey).await;
    }
}

/// The signature that the reference implementation makes.
fn signed(id: &str, timestamp: i64, body: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/integration/support/sign_webhook.mjs");
    let mut node = Command::new("node")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node starts");
    let input = json!({ "secret": SECRET, "id": id, "timestamp": timestamp, "body": body });
    node.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn post(url: &str, id: &str, timestamp: i64, signature: &str, body: &str) -> (u16, String) {
    // Fails when another test has installed a provider, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let call = reqwest::Client::new()
        .post(url)
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signature)
        .body(body.to_owned());
    let response = call.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn forged_old_and_altered_messages_are_refused() {
    let now = EventTime::now().as_micros() / 1_000_000;
    let body = serde_json::to_string(&request(AlertType::RevocationRequested, 1)).unwrap();
    let (fresh, old, future) = (
        signed("msg_1", now, &body),
        signed("msg_1", now - 330, &body),
        signed("msg_1", now + 600, &body),
    );
    for language in LANGUAGES {
        let store = KeyStore::start(Kind::Unkey, &[KEY]).await;
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal.jsonl");
        let receiver = Running::start(language, "unkey", &store.url, &journal).await;
        let url = &receiver.url;
        for (id, at, signature, body) in [
            ("msg_1", now - 330, old.as_str(), body.as_str()),
            ("msg_1", now + 600, &future, &body),
            ("msg_1", now, &old, &body),
            ("msg_2", now, &fresh, &body),
            ("msg_1", now, &fresh, &body.replace(KEY, "key_other")),
            ("msg_1", now, "v1,", &body),
            ("msg_1", now, &fresh.replace("v1,", "v1a,"), &body),
            ("msg_1", now, "v1,AAAA v1", &body),
        ] {
            let (status, _) = post(url, id, at, signature, body).await;
            assert_eq!(status, 401, "{language:?} {id} {at} {signature}");
        }
        assert!(store.calls().is_empty());
        // One of several signatures is enough.
        let two = format!("v1,AAAA {fresh}");
        let (status, said) = post(url, "msg_1", now, &two, &body).await;
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((status, &said["status"]), (200, &json!("revoked")));
    }
}

/// The process ends after the store has suspended the key, and before it writes so.
#[tokio::test]
async fn a_suspension_whose_answer_was_never_written_ends_too() {
    for language in LANGUAGES {
        let store = KeyStore::start(Kind::Unkey, &[KEY]).await;
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal.jsonl");
        let receiver = Running::start(language, "unkey", &store.url, &journal).await;
        assert_eq!(told(&receiver, suspension(1, 3_600.0)).await, "suspended");
        drop(receiver);
        let lines = std::fs::read_to_string(&journal).unwrap();
        let mut intent: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        assert!(intent["until"].is_number(), "{intent}");
        intent["until"] = json!(0);
        std::fs::write(&journal, format!("{intent}\n")).unwrap();
        let _receiver = Running::start(language, "unkey", &store.url, &journal).await;
        eventually("the key works again", LIMIT, async || store.works(KEY) == Some(true)).await;
    }
}

#[tokio::test]
async fn only_what_is_asked_in_time_about_a_key_is_done() {
    for language in LANGUAGES {
        let store = KeyStore::start(Kind::Tyk, &[KEY]).await;
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal.jsonl");
        let receiver = Running::start(language, "tyk", &store.url, &journal).await;
        let ask = |revision| request(AlertType::RevocationRequested, revision);
        assert_eq!(
            told(&receiver, Alert { alert_type: AlertType::Opened, ..ask(1) }).await,
            "nothing"
        );
        assert_eq!(told(&receiver, Alert { dry_run: true, ..ask(2) }).await, "refused");
        let mut late = ask(3);
        late.handling.deadline = Some(EventTime::now().plus_seconds(-5.0));
        assert_eq!(told(&receiver, late).await, "refused");
        let about = |revision, key: &str| Alert { key_id: Some(key.into()), ..ask(revision) };
        assert_eq!(told(&receiver, about(4, "..")).await, "refused");
        assert!(store.calls().is_empty(), "{language:?}");
        // Whoever names keys does not choose the address.
        assert_eq!(told(&receiver, about(5, "../apis/{token}?x=#")).await, "unknown_key");
        let asked = "DELETE /tyk/keys/..%2Fapis%2F%7Btoken%7D%3Fx%3D%23?hashed=true";
        assert_eq!(store.calls(), [asked], "{language:?}");

        store.fail(1);
        let failed = told(&receiver, ask(6)).await;
        assert!(failed.contains("502"), "{failed}");
        assert_eq!(store.works(KEY), Some(true));
        // The first try may have revoked the key: the answer must be true although it is late.
        let mut late = ask(6);
        late.handling.deadline = Some(EventTime::now().plus_seconds(-5.0));
        assert_eq!(told(&receiver, late).await, "revoked");
        // Another incident asks for a key that is gone.
        assert_eq!(told(&receiver, ask(7)).await, "revoked");
        assert_eq!(store.works(KEY), None);
    }
}
