//! Tests reports of leaked keys: over HTTP as GitHub sends them, and from the command line.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keywatch::event::EventTime;
use reqwest::Client;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::keys_cli::run;
use crate::support::clickhouse::{TestDatabase, database, lines};
use crate::support::eventually::{LIMIT, eventually};
use crate::support::service::Service;
use crate::support::settings::Settings;

const RAW: &str = "sk_live_4242";

/// GitHub, as far as reports of leaks go.
struct Reporter {
    key: EcdsaKeyPair,
    random: SystemRandom,
    client: Client,
}

impl Reporter {
    /// Writes the public key to `file`.
    fn new(file: &Path) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_ASN1_SIGNING);
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        // RFC 5480: the algorithm and the curve before the point.
        let spki = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
        let der = STANDARD.encode([&spki[..], key.public_key().as_ref()].concat());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n");
        let entry = json!({ "key_identifier": "k1", "key": pem, "is_current": true });
        fs::write(file, json!({ "public_keys": [entry] }).to_string()).unwrap();
        Self { key, random, client: Client::new() }
    }

    fn sign(&self, body: &str) -> String {
        STANDARD.encode(self.key.sign(&self.random, body.as_bytes()).unwrap())
    }

    async fn post(&self, address: &str, body: &str, signature: &str) -> (u16, Value) {
        let request = self
            .client
            .post(format!("http://{address}/v1/leaks"))
            .header("Github-Public-Key-Identifier", "k1")
            .header("Github-Public-Key-Signature", signature)
            .body(body.to_owned());
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }
}

fn settings(database: &TestDatabase) -> Settings {
    Settings::new(&database.config)
        .set("source.kind", "http")
        .set("source.http.listen", "127.0.0.1:0")
        .set("source.http.token", "a-token")
        .set("policy.dry_run", false)
}

async fn use_key(service: &Service, name: &str, key: &str) {
    let address = service.logged_address("accepting events at POST /v1/events");
    let event = json!({
        "time": EventTime::now(), name: key, "client_ip": "192.0.2.7", "method": "GET",
        "path": "/v1/orders", "status": 200,
    });
    let answer = Client::new()
        .post(format!("http://{address}/v1/events"))
        .bearer_auth("a-token")
        .header("content-type", "application/json")
        .body(event.to_string());
    assert_eq!(answer.send().await.unwrap().status(), 200);
}

async fn wait_for(database: &TestDatabase, sql: &str, expected: &str) {
    eventually(&format!("{sql} is {expected}"), LIMIT, async || {
        let found = lines(&database.store, sql).await.join(", ");
        if found == expected { Ok(()) } else { Err(found) }
    })
    .await;
}

const ALERTS: &str = "SELECT key_id, type, severity, action FROM alerts \
    WHERE has(detectors, 'lifecycle.leaked_key') AND type != 'key.revocation_requested' \
    ORDER BY revision";

#[tokio::test]
async fn a_signed_report_raises_the_key_at_once_and_an_unsigned_one_does_nothing() {
    let database = database().await;
    let folder = tempfile::tempdir().unwrap();
    let public_keys = folder.path().join("public.json");
    let github = Reporter::new(&public_keys);
    let settings = settings(&database)
        .set("leaks.listen", "127.0.0.1:0")
        .set("leaks.public_keys_file", public_keys.to_str().unwrap());
    let service = Service::start(&settings);
    let address = service.logged_address("taking reports of leaked keys at POST /v1/leaks");
    let keys = format!("{{\"key_id\":\"ak\",\"api_key\":\"{RAW}\"}}\n");
    fs::write(folder.path().join("keys.jsonl"), keys).unwrap();
    run(&database, folder.path(), &["import", "keys.jsonl"]).succeeded();
    use_key(&service, "key_id", "ak").await;

    let url = format!("https://github.com/a/b/blob/c/{RAW}.env");
    let entry =
        |token: &str| json!({ "token": token, "type": "t", "url": url, "source": "content" });
    let body = json!([entry(RAW), entry("sk_live_unknown"), entry("ak")]).to_string();
    let forged = [String::new(), "AAAA".to_owned(), github.sign("[]")];
    for signature in &forged {
        let (status, problem) = github.post(&address, &body, signature).await;
        assert_eq!((status, &problem["status"]), (401, &json!(401)), "{problem}");
    }
    let events = "SELECT count() FROM key_event_rows WHERE kind = 'leaked'";
    assert_eq!(lines(&database.store, events).await, ["0"]);

    let (status, labels) = github.post(&address, &body, &github.sign(&body)).await;
    assert_eq!(status, 200, "{labels}");
    let label = |place: usize| labels[place]["label"].as_str().unwrap();
    assert_eq!(
        [label(0), label(1), label(2)],
        ["true_positive", "false_positive", "false_positive"],
        "a public id is not a token"
    );
    assert_eq!(labels[0]["token_hash"], STANDARD.encode(Sha256::digest(RAW)));
    wait_for(&database, ALERTS, "ak alert.opened critical revoke").await;
    // The next use is news, and the same report again is not.
    let again = github.post(&address, &body, &github.sign(&body)).await;
    assert_eq!(again.0, 200);
    assert_eq!(lines(&database.store, events).await, ["1"]);
    use_key(&service, "api_key", RAW).await;
    let first_use = "SELECT count() FROM alerts WHERE type = 'alert.updated' AND alert LIKE '%\"first_use_since\":{%\"ip\":\"192.0.2.7\"%'";
    wait_for(&database, first_use, "1").await;
    let requested = "SELECT count() FROM revocation_requests";
    wait_for(&database, requested, "1").await;

    let (status, _) = github.post(&address, "{", &github.sign("{")).await;
    assert_eq!(status, 400);
    let many = json!(vec![entry("x"); 1_001]).to_string();
    let (status, _) = github.post(&address, &many, &github.sign(&many)).await;
    assert_eq!(status, 413);
    let log = service.terminate().1;
    assert!(!log.contains(RAW) && !log.contains("sk_live_unknown"), "a raw key is in the log");
    for table in ["key_event_rows", "alerts", "api_key_rows"] {
        let sql = format!("SELECT count() FROM {table} WHERE toString(tuple(*)) LIKE '%sk_live%'");
        assert_eq!(lines(&database.store, &sql).await, ["0"], "{table}");
    }
}

#[tokio::test]
async fn a_leak_of_a_key_that_was_never_used_is_raised_and_a_restart_does_not_raise_it_again() {
    let database = database().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("keys.jsonl"), "{\"key_id\":\"quiet\"}\n").unwrap();
    let run = |arguments: &[&str]| run(&database, folder.path(), arguments);
    run(&["import", "keys.jsonl"]).succeeded();
    // Reported while no process runs.
    let told = run(&["leaked", "quiet", "nobody", "--url", "https://paste.example/1", "--by", "x"]);
    assert!(told.stdout.contains("quiet: the leak of quiet is recorded\n"), "{}", told.stdout);
    assert!(told.failed(1).contains("1 key not found"));
    for _ in 0..2 {
        let service = Service::start(&settings(&database));
        use_key(&service, "key_id", "another").await;
        wait_for(&database, ALERTS, "quiet alert.opened critical revoke").await;
        assert!(service.terminate().0.success());
    }
    let listed = run(&["list", "--leaked", "--json"]).json();
    assert_eq!(listed[0]["key_id"], "quiet");
}
