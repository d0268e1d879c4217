//! Sends requests with events again, after answers that were lost, kills and restarts.

use keywatch::store::Store;
use reqwest::Client;
use serde_json::{Value, json};

use crate::support::clickhouse::{TestDatabase, client, lines, unmigrated};
use crate::support::eventually::{LIMIT, eventually};
use crate::support::service::Service;
use crate::support::settings::Settings;

const COUNTS: &str = "SELECT (SELECT count() FROM access_events), \
    (SELECT sum(requests) FROM key_usage_minute), (SELECT sum(requests) FROM key_usage_hour), \
    (SELECT sum(requests) FROM source_usage_hour), (SELECT count() FROM rejected_events)";

struct Sender {
    service: Service,
    address: String,
}

impl Sender {
    fn start(database: &TestDatabase) -> Self {
        let settings = Settings::new(&database.config)
            .set("source.kind", "http")
            .set("source.http.listen", "127.0.0.1:0");
        let service = Service::start(&settings);
        let address = service.logged_address("accepting events at POST /v1/events");
        Self { service, address }
    }

    async fn post(&self, key: &str, body: &str) -> (u16, bool, Value) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let request = Client::new().post(format!("http://{}/v1/events", self.address));
        let request = request.header("content-type", "application/x-ndjson");
        let answer = request.header("idempotency-key", key).body(body.to_owned()).send();
        let answer = answer.await.unwrap();
        let is_replay = answer.headers().contains_key("idempotency-replayed");
        let status = answer.status().as_u16();
        let body = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        (status, is_replay, body)
    }

    /// Repeats a request until it is answered.
    async fn insist(&self, key: &str, body: &str) -> (bool, Value) {
        let mut answer = None;
        eventually("an answer", LIMIT, async || {
            let (status, is_replay, body) = self.post(key, body).await;
            assert!([200, 409, 503].contains(&status), "{status} {body}");
            answer = (status == 200).then_some((is_replay, body));
            answer.is_some()
        })
        .await;
        answer.unwrap()
    }
}

fn body(events: usize) -> String {
    let now = keywatch::event::EventTime::now().as_micros();
    let event = |number: usize| {
        json!({
            "time": now + number as i64, "key_id": "key-a", "client_ip": "192.0.2.1",
            "method": "GET", "path": "/v1/orders", "status": 200,
        })
    };
    let lines: Vec<String> = (0..events).map(|number| event(number).to_string()).collect();
    format!("{}\nno event\n{{}}", lines.join("\n"))
}

async fn counts(store: &Store) -> String {
    lines(store, COUNTS).await.remove(0)
}

#[tokio::test]
async fn a_repeated_request_is_stored_once_also_after_a_restart() {
    let database = unmigrated().await;
    let sender = Sender::start(&database);
    let body = body(50);
    let (_, first) = sender.insist("one", &body).await;
    assert_eq!((&first["accepted"], &first["rejected"]), (&json!(50), &json!(2)));
    assert_eq!(first["rejections"][0]["event"], 50);
    assert_eq!(first["rejections"][0]["reason"], "invalid_json");
    assert_eq!(first["rejections"][1]["event"], 51);
    assert_eq!(sender.insist("one", &body).await, (true, first.clone()));
    assert_eq!(sender.post("one", &body[1..]).await.0, 422, "other events under the same key");
    assert_eq!(counts(&database.store).await, "50 50 50 50 2");

    sender.service.kill();
    let sender = Sender::start(&database);
    assert_eq!(sender.insist("one", &body).await, (true, first));
    assert_eq!(sender.post("one", &body[1..]).await.0, 422);
    assert_eq!(counts(&database.store).await, "50 50 50 50 2");
    sender.insist("two", &body).await;
    assert_eq!(
        counts(&database.store).await,
        "100 100 100 100 4",
        "another key is another request"
    );
}

/// The process was killed when the events were stored and the ledger did not say so yet, or before
/// the events were stored. The test changes the ledger and the tables to create these states.
#[tokio::test]
async fn a_request_that_a_kill_cut_off_is_completed() {
    let database = unmigrated().await;
    let execute = async |sql: &str| {
        client(&database.config).query(sql).execute().await.unwrap();
    };
    let sender = Sender::start(&database);
    let body = body(50);
    sender.insist("one", &body).await;
    sender.service.kill();
    execute("ALTER TABLE ingest_batches DELETE WHERE state = 'done' SETTINGS mutations_sync = 1")
        .await;
    let sender = Sender::start(&database);
    let (is_replay, answer) = sender.insist("one", &body).await;
    assert!(is_replay);
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(50), &json!(2)));
    assert_eq!(counts(&database.store).await, "50 50 50 50 2");

    sender.service.kill();
    let rollups = ["key_usage_minute", "key_usage_hour", "source_usage_hour"];
    for table in rollups.into_iter().chain(["access_events", "rejected_events"]) {
        execute(&format!("TRUNCATE TABLE {table}")).await;
    }
    let sender = Sender::start(&database);
    let (is_replay, answer) = sender.insist("one", &body).await;
    assert!(!is_replay);
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(50), &json!(2)));
    assert_eq!(counts(&database.store).await, "50 50 50 50 2");
}
