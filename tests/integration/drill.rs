//! Runs fire drills through Kafka, a running service, ClickHouse, a mailbox and a receiver.

use std::process::{Command, Output};

use keywatch::event::EventTime;
use serde_json::Value;
use tempfile::TempDir;

use crate::clickhouse::samples::{batch, event, partition};
use crate::support::clickhouse::{TestDatabase, database, lines};
use crate::support::kafka::{broker, unique};
use crate::support::mailbox::Mailbox;
use crate::support::receiver::{Answer, Receiver};
use crate::support::service::Service;
use crate::support::settings::Settings;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Settings of a service that reads a topic of its own, and would revoke.
async fn settings(database: &TestDatabase) -> Settings {
    let topic = unique("drill");
    broker().create_topic(&topic, 2).await;
    Settings::new(&database.config).kafka(&topic).set("policy.dry_run", false)
}

/// Runs the command beside the service.
async fn drill(settings: &Settings, seconds: &str) -> Output {
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("keywatch.toml");
    std::fs::write(&config, settings.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_keywatch"));
    command.args(["drill", "--json", "--seconds", seconds, "-c"]).arg(&config);
    // The receiver and the mailbox run on this runtime.
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn result(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"))
}

fn states(drill: &Value) -> Vec<(&str, &str)> {
    let hops = drill["hops"].as_array().unwrap().iter();
    hops.map(|hop| (hop["name"].as_str().unwrap(), hop["state"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_reaches_each_hop_asks_for_no_action_and_leaves_no_open_incident() {
    let database = database().await;
    let (mailbox, receiver) = (Mailbox::start(&[]), Receiver::start([]).await);
    let settings = settings(&database)
        .await
        .mail_to(&mailbox, "security@example.com")
        .webhook(&receiver.url, SECRET);
    let _service = Service::start(&settings);

    let output = drill(&settings, "120").await;
    let drill = result(&output);
    let arrived: Vec<_> =
        ["registered", "sent", "stored", "alert", "channel email", "channel webhook"]
            .map(|hop| (hop, "arrived"))
            .to_vec();
    assert_eq!(states(&drill), arrived, "{drill}");
    assert!(output.status.success());
    let key = drill["key_id"].as_str().unwrap();
    assert!(key.starts_with("keywatch-drill-2"), "{key}");

    let mails = mailbox.wait_for(1).await;
    assert!(mails[0].subject.contains(key), "{}", mails[0].subject);
    let calls = receiver.wait_for(1).await;
    let kinds: Vec<Value> =
        calls.iter().map(|call| call.verified(SECRET).unwrap()["type"].clone()).collect();
    assert!(kinds.iter().all(|kind| kind.as_str().unwrap().starts_with("alert.")), "{kinds:?}");
    let store = &database.store;
    assert_eq!(lines(store, "SELECT count() FROM revocation_requests").await, ["0"]);
    let acted = "SELECT action, severity FROM alerts GROUP BY ALL ORDER BY ALL";
    assert_eq!(lines(store, acted).await, ["notify critical"]);
    let closed = "SELECT state, close_reason, closed_by FROM incidents";
    assert_eq!(lines(store, closed).await, ["closed test keywatch drill"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_names_what_did_not_arrive() {
    let database = database().await;
    let receiver = Receiver::start(std::iter::repeat_n(Answer::Status(500), 100)).await;
    let settings = settings(&database).await.webhook(&receiver.url, SECRET);
    {
        let _service = Service::start(&settings);
        let output = drill(&settings, "20").await;
        let drill = result(&output);
        let last = drill["hops"].as_array().unwrap().last().unwrap();
        assert_eq!((&last["name"], &last["state"]), (&"channel webhook".into(), &"missing".into()));
        assert!(last["detail"].as_str().unwrap().contains("500"), "{drill}");
        assert_eq!(drill["hops"][3]["state"], "arrived", "{drill}");
        assert_eq!(output.status.code(), Some(1));
    }
    // Nobody reads the topic any more.
    let output = drill(&settings, "3").await;
    let drill = result(&output);
    let states: Vec<_> = states(&drill).into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, ["arrived", "arrived", "missing", "missing", "missing"], "{drill}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("3 hops not reached: stored, alert, channel webhook"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_does_not_begin_beside_a_key_that_is_not_its_own_or_without_a_topic() {
    let database = database().await;
    let now = EventTime::now();
    let mut tried = event(0, now, "keywatch-drill-of-an-outsider");
    tried.event.status = 401;
    let used = event(1, now, "customer.key-7");
    let mut answered = event(2, now, "keywatch-drill-of-an-outsider");
    answered.event.authenticated = Some(false);
    database.store.write_batch(&batch(&partition(0), &[tried, used, answered])).await.unwrap();
    let settings = settings(&database).await;

    let output = drill(&settings.clone().set("drill.key_prefix", "customer."), "2").await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("customer.key-7 is no canary of a drill"), "{said}");
    assert_eq!(lines(&database.store, "SELECT count() FROM key_changes").await, ["0"]);

    // Whoever only names such a key keeps nobody from drills.
    let output = drill(&settings, "2").await;
    assert_eq!(result(&output)["hops"][0]["state"], "arrived");

    let http = settings.set("source.kind", "http").set("source.http.listen", "127.0.0.1:0");
    let http = http.set("policy.dry_run", true);
    let said = String::from_utf8_lossy(&drill(&http, "2").await.stderr).into_owned();
    assert!(said.contains("`source.kind` is not `kafka`"), "{said}");
}
