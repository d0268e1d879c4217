//! Runs fire drills through Kafka, a running service, ClickHouse, a mailbox and a receiver.

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use keywatch::event::EventTime;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::clickhouse::samples::{batch, event, partition};
use crate::support::clickhouse::{TestDatabase, database, lines};
use crate::support::eventually::{LIMIT, eventually};
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
    let mut command = command(&directory, settings, seconds);
    // The receiver and the mailbox run on this runtime.
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn command(directory: &TempDir, settings: &Settings, seconds: &str) -> Command {
    let config = directory.path().join("keywatch.toml");
    std::fs::write(&config, settings.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_keywatch"));
    command.args(["drill", "--json", "--seconds", seconds, "-c"]).arg(&config);
    command
}

fn result(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"))
}

fn states(drill: &Value) -> Vec<(&str, &str)> {
    let hops = drill["hops"].as_array().unwrap().iter();
    hops.map(|hop| (hop["name"].as_str().unwrap(), hop["state"].as_str().unwrap())).collect()
}

/// How the keys of drills are registered: in which state, and whether they are canaries.
async fn keys(database: &TestDatabase) -> Vec<String> {
    let sql = "SELECT lifecycle, is_canary FROM api_keys ORDER BY key_id";
    lines(&database.store, sql).await
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
    assert_eq!(keys(&database).await, ["retired false"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_names_what_did_not_arrive() {
    let database = database().await;
    let receiver = Receiver::start(std::iter::repeat_n(Answer::Status(500), 100)).await;
    let settings = settings(&database).await.webhook(&receiver.url, SECRET).soon_missed();
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
    assert_eq!(keys(&database).await, ["retired false", "retired false"]);

    // What is read later trips nothing: the canary is retired.
    let _service = Service::start(&settings);
    let key = drill["key_id"].as_str().unwrap();
    let read = format!("SELECT count() > 0 FROM access_events WHERE key_id = '{key}'");
    let store = &database.store;
    eventually("the requests are read", LIMIT, async || lines(store, &read).await == ["1"]).await;
    let open = "SELECT count() FROM incidents WHERE state != 'closed'";
    assert_eq!(lines(store, open).await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_that_is_stopped_leaves_no_canary() {
    let database = database().await;
    let receiver = Receiver::start([]).await;
    let settings = settings(&database).await.webhook(&receiver.url, SECRET);
    let directory = TempDir::new().unwrap();
    let mut command = command(&directory, &settings, "600");
    let drill = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("there is a canary", LIMIT, async || keys(&database).await == ["active true"]).await;

    let pid = Pid::from_raw(i32::try_from(drill.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let output = tokio::task::spawn_blocking(move || drill.wait_with_output()).await.unwrap();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(keys(&database).await, ["retired false"]);
    assert!(result(&output).to_string().contains("the drill was stopped"));
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
    let drilled = result(&output);
    assert_eq!(drilled["hops"][0]["state"], "arrived");
    let last = drilled["hops"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["name"], &last["detail"]), (&"channel".into(), &"none is configured".into()));
    assert_eq!(output.status.code(), Some(1));

    // A server that takes connections and never answers.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", mute.local_addr().unwrap());
    let output = drill(&settings.clone().set("clickhouse.url", url), "2").await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("ClickHouse has not answered within 10 s"), "{said}");

    let http = settings.set("source.kind", "http").set("source.http.listen", "127.0.0.1:0");
    let http = http.set("policy.dry_run", true);
    let said = String::from_utf8_lossy(&drill(&http, "2").await.stderr).into_owned();
    assert!(said.contains("`source.kind` is not `kafka`"), "{said}");
}
