//! Tests the ways by which keys come into the registry of running services: a topic and HTTP.

use std::time::Duration;

use keywatch::event::EventTime;
use reqwest::Client;
use serde_json::{Value, json};

use crate::support::clickhouse::{TestDatabase, client, database, lines};
use crate::support::eventually::{LIMIT, eventually};
use crate::support::kafka::{broker, unique};
use crate::support::service::Service;
use crate::support::settings::Settings;

const TOKEN: &str = "a-token-for-tests";

fn settings(database: &TestDatabase) -> Settings {
    Settings::new(&database.config)
        .set("source.kind", "http")
        .set("source.http.listen", "127.0.0.1:0")
        .set("registry.listen", "127.0.0.1:0")
        .set("registry.token", TOKEN)
}

async fn use_key(service: &Service, key: &str) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let address = service.logged_address("accepting events at POST /v1/events");
    let event = json!({
        "time": EventTime::now(), "key_id": key, "client_ip": "203.0.113.9", "method": "GET",
        "path": "/v1/orders", "status": 200,
    });
    let request = Client::new()
        .post(format!("http://{address}/v1/events"))
        .header("content-type", "application/x-ndjson")
        .body(event.to_string());
    assert_eq!(request.send().await.unwrap().status(), 200);
}

/// Waits until a use of the key from a network that it may not use raises an alert.
async fn judges(database: &TestDatabase, service: &Service, key: &str) {
    let alerts = format!(
        "SELECT count() > 0 FROM alerts WHERE key_id = '{key}' \
         AND has(detectors, 'policy.ip_not_allowed')"
    );
    eventually("the service knows the networks of the key", LIMIT, async || {
        use_key(service, key).await;
        lines(&database.store, &alerts).await == ["1"]
    })
    .await;
}

fn allowed(key: &str) -> String {
    json!({ "key_id": key, "owner": "ann", "allowed_cidrs": ["10.0.0.0/8"] }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_judge_by_the_records_of_a_topic_and_store_each_once() {
    let database = database().await;
    let (broker, topic) = (broker(), unique("keys"));
    broker.create_topic(&topic, 2).await;
    let settings = settings(&database)
        .set("registry.topic", topic.as_str())
        .set("source.kafka.brokers", broker.place.address())
        .set("source.kafka.group_id", topic.as_str());
    let services = [Service::start(&settings), Service::start(&settings)];
    let revoked = json!({ "key_id": "k0", "event": "revoked", "time": EventTime::now() });
    let secret = json!({ "key_id": "k9", "expires_at": "sk_live_4242" });
    for partition in 0..2 {
        let keys = (0..20).filter(|it| it % 2 == partition).map(|it| allowed(&format!("k{it}")));
        broker.produce(&topic, partition, keys);
    }
    broker.produce(&topic, 0, [secret.to_string(), "not json".to_owned(), revoked.to_string()]);

    for (service, key) in services.iter().zip(["k1", "k2"]) {
        judges(&database, service, key).await;
    }
    // Rows of a change that another one overtook stay, and count for nothing.
    let stored = "WITH (SELECT groupArray(change) FROM key_changes) AS made \
        SELECT (SELECT count() FROM api_key_rows WHERE has(made, change)), \
        (SELECT count() FROM api_keys), \
        (SELECT count() FROM key_event_rows WHERE kind = 'revoked' AND has(made, change)), \
        (SELECT lifecycle FROM api_keys WHERE key_id = 'k0'), \
        (SELECT groupUniqArray(origin) FROM key_changes)";
    eventually("every record is stored once", LIMIT, async || {
        let found = lines(&database.store, stored).await.concat();
        // The revocation is a second row of its key, unless both came together.
        let is_right = |rows: u32| found == format!("{rows} 20 1 revoked ['topic']");
        (is_right(20) || is_right(21)).then_some(()).ok_or(found)
    })
    .await;
    let rejected = |service: &Service| service.metric("keywatch_registry_rejections_total");
    eventually("the bad records are counted", LIMIT, async || {
        let number: f64 = services.iter().map(rejected).sum();
        (number == 2.0).then_some(()).ok_or(number)
    })
    .await;
    let logs = services.each_ref().map(Service::log).concat();
    assert!(logs.contains("\"offset\":10") && logs.contains("\"offset\":11"), "{logs}");
    assert!(!logs.contains("sk_live_4242"), "a value is in the log");

    // A restarted group begins behind what is stored.
    let changes = "SELECT count() FROM key_changes";
    let before = lines(&database.store, changes).await;
    for service in services {
        assert!(service.terminate().0.success());
    }
    let service = Service::start(&settings);
    broker.produce(&topic, 1, [allowed("k20")]);
    judges(&database, &service, "k20").await;
    let after = lines(&database.store, changes).await;
    let number = |lines: &[String]| lines[0].parse::<u32>().unwrap();
    assert_eq!(number(&after), number(&before) + 1);

    // A database that refuses records for good is mended, and none is lost.
    let rename = async |from: &str, to: &str| {
        let sql = format!("RENAME TABLE {from} TO {to}");
        client(&database.config).query(&sql).execute().await.unwrap();
    };
    rename("key_feed_rows", "away").await;
    broker.produce(&topic, 1, [allowed("k21")]);
    eventually("the topic waits", LIMIT, async || service.log().contains("the topic waits")).await;
    rename("away", "key_feed_rows").await;
    judges(&database, &service, "k21").await;
    assert!(service.terminate().0.success());
}

/// Posts to the key desk, and returns the status and the answer.
async fn post(service: &Service, path: &str, token: &str, form: &str, body: &str) -> (u16, Value) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let address = service.logged_address("taking keys at POST /v1/keys");
    let request = Client::new()
        .post(format!("http://{address}{path}"))
        .timeout(Duration::from_secs(30))
        .header("content-type", form)
        .bearer_auth(token)
        .body(body.to_owned());
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

const LINES: &str = "application/x-ndjson";

#[tokio::test(flavor = "multi_thread")]
async fn keys_posted_to_one_process_are_judged_by_another() {
    let database = database().await;
    let [desk, other] = [0, 1].map(|_| Service::start(&settings(&database)));
    let body = format!("{}\n\n{{\"key_id\":\"b\",\"expires_at\":\"soon\"}}\n", allowed("a"));
    let (status, problem) = post(&desk, "/v1/keys", "another", LINES, &body).await;
    assert_eq!((status, &problem["status"]), (401, &json!(401)));
    assert_eq!(lines(&database.store, "SELECT count() FROM api_keys").await, ["0"]);

    let (status, answer) = post(&desk, "/v1/keys", TOKEN, LINES, &body).await;
    assert_eq!((status, &answer["added"], &answer["refused"]), (200, &json!(1), &json!(1)));
    assert_eq!(answer["errors"][0]["line"], 3);
    let detail = answer["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.starts_with("field `expires_at`: "), "{detail}");
    judges(&database, &other, "a").await;

    let (status, answer) = post(&desk, "/v1/keys", TOKEN, LINES, &allowed("a")).await;
    assert_eq!((status, &answer["unchanged"]), (200, &json!(1)));
    let csv = "key_id,owner\nc,carl\n";
    let (status, answer) = post(&desk, "/v1/keys", TOKEN, "text/csv", csv).await;
    assert_eq!((status, &answer["added"]), (200, &json!(1)));
    let (status, _) = post(&desk, "/v1/keys", TOKEN, "text/plain", csv).await;
    assert_eq!(status, 415);
    let (status, problem) =
        post(&desk, "/v1/keys", TOKEN, "application/json", "[{\"owner\":\"x\"},7]").await;
    assert_eq!((status, problem["errors"].as_array().unwrap().len()), (422, 2), "{problem}");
    let who = "SELECT DISTINCT origin, who FROM key_changes";
    assert_eq!(lines(&database.store, who).await, ["api token"]);
    for service in [desk, other] {
        assert!(service.terminate().0.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_key_are_recorded_once_and_those_that_cannot_be_are_refused() {
    let database = database().await;
    let service = Service::start(&settings(&database));
    let events = "/v1/keys/a/events";
    let post = async |body: Value| {
        post(&service, events, TOKEN, "application/json", &body.to_string()).await
    };
    let at = EventTime::now().plus_seconds(-60.0);
    let (status, problem) = post(json!({ "event": "suspended" })).await;
    assert_eq!(status, 422);
    let detail = problem["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("the key is not registered"), "{detail}");

    let life = json!([{ "event": "issued", "time": at }, { "event": "suspended", "time": at }]);
    let (status, answer) = post(life.clone()).await;
    assert_eq!((status, &answer["recorded"], &answer["added"]), (200, &json!(2), &json!(1)));
    let (status, answer) = post(life).await;
    assert_eq!((status, &answer["recorded"]), (200, &json!(0)));
    let (_, answer) = post(json!({ "event": "answered", "key_id": "another" })).await;
    assert_eq!(answer["recorded"], 1, "the path names the key");
    for refused in [
        json!({ "event": "leaked" }),
        json!({ "event": "rotated" }),
        json!({ "owner": "eve" }),
        json!({ "event": "rotated", "to": "a" }),
    ] {
        assert_eq!(post(refused.clone()).await.0, 422, "{refused}");
    }
    let stored = "SELECT key_id, kind FROM key_events ORDER BY number, kind";
    assert_eq!(lines(&database.store, stored).await, ["a issued", "a suspended", "a answered"]);
    let state = "SELECT lifecycle FROM api_keys";
    assert_eq!(lines(&database.store, state).await, ["suspended"]);
    assert!(service.terminate().0.success());
}
