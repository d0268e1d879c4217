//! Tests revocations of keys: one budget for all processes, and one request for each incident,
//! whichever process dies.

use std::fs;
use std::path::Path;

use keywatch::event::EventTime;
use keywatch::store::Store;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::support::clickhouse::{TestDatabase, lines, unmigrated};
use crate::support::eventually::{LIMIT, eventually};
use crate::support::kafka::{broker, unique};
use crate::support::proxy::{Proxy, Step, Then};
use crate::support::receiver::Receiver;
use crate::support::service::Service;
use crate::support::settings::Settings;
use crate::support::stored::wait_for_rows;

const PARTITIONS: i32 = 2;
/// One key in each partition.
const KEYS: [&str; 2] = ["ak-stolen-0", "ak-stolen-1"];
const OWNER: &str = "81.2.69.10";
const THIEF: &str = "45.83.64.66";
/// Requests of a key before the theft.
const HONEST: u32 = 300;

fn request(key: &str, n: u32, ip: &str, nonce: u32) -> Value {
    let begin = EventTime::now().plus_seconds(-7_200.0);
    json!({
        "time": begin.plus_seconds(20.0 * f64::from(n)), "request_id": format!("{key}-{n}"),
        "key_id": key, "client_ip": ip, "method": "GET", "path": "/v1/orders", "status": 200,
        "nonce": format!("nonce {nonce} of {key}"),
    })
}

fn produce(topic: &str, partition: usize, requests: impl Iterator<Item = Value>) {
    let key = KEYS[partition].to_owned();
    let records = requests.map(|event| (key.clone(), serde_json::to_vec(&event).unwrap()));
    broker().produce_keyed(topic, partition as i32, records);
}

fn produce_honest_requests(topic: &str) {
    for (partition, key) in KEYS.iter().enumerate() {
        produce(topic, partition, (0..HONEST).map(|n| request(key, n, OWNER, n)));
    }
}

/// One request of each key is replayed from a network that the key may not use. These two signs
/// together justify a revocation.
fn produce_thefts(topic: &str) {
    for (partition, key) in KEYS.iter().enumerate() {
        produce(topic, partition, [request(key, HONEST, THIEF, HONEST - 1)].into_iter());
    }
}

/// A live policy that allows one revocation an hour.
fn with_policy(settings: Settings, folder: &Path, receiver: &Receiver) -> Settings {
    let registry = folder.join("keys.jsonl");
    let line = |key: &&str| json!({ "key_id": key, "allowed_cidrs": ["81.2.69.0/24"] }).to_string();
    fs::write(&registry, KEYS.iter().map(line).collect::<Vec<_>>().join("\n")).unwrap();
    settings
        .set("detect.registry_file", registry.to_str().unwrap())
        .set("policy.dry_run", false)
        .set("policy.max_revocations_per_hour", 1)
        .webhook(&receiver.url, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
}

/// Webhook calls that ask for a revocation, as pairs of incident and delivery id.
fn asked(receiver: &Receiver) -> Vec<(String, String)> {
    let read = |call: &crate::support::receiver::Received| {
        let alert: Value = serde_json::from_slice(&call.body).unwrap();
        let is_request = alert["type"] == "key.revocation_requested";
        is_request.then(|| (alert["id"].to_string(), call.header("webhook-id").to_owned()))
    };
    receiver.received().iter().filter_map(read).collect()
}

async fn wait_for_proposals(store: &Store) {
    let proposals = "SELECT uniqExact(id) FROM alerts WHERE action = 'revoke' AND NOT dry_run";
    eventually("both keys are found", LIMIT, async || lines(store, proposals).await == ["2"]).await;
}

async fn wait_until_told(store: &Store) {
    let left = "SELECT count() FROM alerts WHERE (id, revision) NOT IN (SELECT alert_id, revision \
        FROM deliveries WHERE channel = 'webhook' AND outcome IN ('delivered', 'skipped'))";
    eventually("every alert is delivered", LIMIT, async || lines(store, left).await == ["0"]).await;
}

/// There are one request and one call, and the proposal of the other key waits.
async fn assert_one_revocation(database: &TestDatabase, receiver: &Receiver) {
    let requested = "SELECT count() FROM alerts FINAL WHERE type = 'key.revocation_requested'";
    assert_eq!(lines(&database.store, requested).await, ["1"]);
    assert_eq!(asked(receiver).len(), 1, "{:#?}", asked(receiver));
}

#[tokio::test]
async fn two_processes_that_find_a_stolen_key_each_request_one_revocation_within_a_budget_of_one() {
    let database = unmigrated().await;
    let (store, receiver) = (&database.store, Receiver::start([]).await);
    let folder = tempfile::tempdir().unwrap();
    let topic = unique("stolen");
    broker().create_topic(&topic, PARTITIONS).await;
    let settings = Settings::new(&database.config).kafka(&topic);
    let settings = with_policy(settings, folder.path(), &receiver);
    let members = [(); 2].map(|()| {
        let member = Service::start(&settings);
        member.wait_for_log("Kafka partitions assigned");
        member
    });
    produce_honest_requests(&topic);
    wait_for_rows(store, "access_events", 2 * HONEST as usize).await;
    let owners = "SELECT uniqExact(owner) FROM (SELECT argMax(owner, epoch) AS owner \
        FROM partition_owners GROUP BY partition)";
    assert_eq!(lines(store, owners).await, ["2"]);

    produce_thefts(&topic);
    wait_for_proposals(store).await;
    eventually("a revocation is requested", LIMIT, async || !asked(&receiver).is_empty()).await;
    wait_until_told(store).await;
    assert_one_revocation(&database, &receiver).await;
    for member in &members {
        let waits = async || member.metric("keywatch_revocations_waiting") == 1.0;
        eventually("the other one waits for budget", LIMIT, waits).await;
    }
    for member in members {
        let (status, log) = member.terminate();
        assert!(status.success(), "{status}\n{log}");
    }
    assert_one_revocation(&database, &receiver).await;
}

#[tokio::test]
async fn a_process_killed_between_the_stored_request_and_its_delivery_leaves_it_to_the_next() {
    let database = unmigrated().await;
    let (store, receiver) = (&database.store, Receiver::start([]).await);
    let folder = tempfile::tempdir().unwrap();
    let topic = unique("killed-revoking");
    broker().create_topic(&topic, PARTITIONS).await;
    let settings = |clickhouse| {
        let settings = Settings::new(clickhouse).kafka(&topic).static_member("one");
        with_policy(settings, folder.path(), &receiver)
    };
    let proxy = Proxy::start(&database.config.url);
    let through =
        keywatch::config::ClickHouseConfig { url: proxy.url.clone(), ..database.config.clone() };
    let killed = Service::start(&settings(&through));
    let pid = killed.pid();
    proxy.arm(Step::AfterRevocationRequest, 0, Then::Cut, move || {
        kill_process(pid, Signal::KILL).unwrap();
    });
    produce_honest_requests(&topic);
    produce_thefts(&topic);
    proxy.wait_until_struck();
    killed.kill();
    assert_eq!(lines(store, "SELECT count() FROM revocation_requests").await, ["1"]);
    assert_eq!(asked(&receiver), []);

    let next = Service::start(&settings(&database.config));
    wait_for_proposals(store).await;
    eventually("the revocation is requested", LIMIT, async || !asked(&receiver).is_empty()).await;
    let waits = async || next.metric("keywatch_revocations_waiting") == 1.0;
    eventually("the other one waits for budget", LIMIT, waits).await;
    wait_until_told(store).await;
    assert!(next.terminate().0.success());
    assert_one_revocation(&database, &receiver).await;
}
