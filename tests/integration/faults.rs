//! The service when its parts are away, wrong or broken: it says so, goes on, loses nothing.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use keywatch::config::ClickHouseConfig;
use keywatch::store::Store;
use serde_json::Value;

use crate::end_to_end::{assert_exact, count, kafka_settings, produce, topic_of, wait_for_rows};
use crate::support::clickhouse::{lines, start, unmigrated};
use crate::support::kafka::{Broker, Place, broker};
use crate::support::mailbox::Mailbox;
use crate::support::receiver::{Answer, Receiver};
use crate::support::service::{
    Service, eventually, file_settings, last_line, request, run, settings,
};
use crate::support::traffic::{PARTITIONS, Traffic};

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn nowhere() -> ClickHouseConfig {
    ClickHouseConfig { url: format!("http://127.0.0.1:{}", free_port()), ..Default::default() }
}

#[tokio::test]
async fn clickhouse_that_is_down_at_the_start_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.jsonl");
    let traffic = Traffic::attacks();
    traffic.write(&log);
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let config = ClickHouseConfig { url, ..Default::default() };
    let service = Service::start(&(settings(&config) + &file_settings(&[&log])));
    service.wait_until_it_waits_for("clickhouse").await;

    let server = start(&folder.path().join("clickhouse"), Some(port)).await;
    let (status, log) = service.wait();
    assert!(status.success(), "{status}\n{log}");
    assert_exact(&Store::new(&server.config()), &traffic).await;
}

#[tokio::test]
async fn clickhouse_that_dies_in_the_middle_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = start(folder.path(), None).await;
    let config = server.config();
    let port = config.url.rsplit(':').next().unwrap().parse().unwrap();
    let store = Store::new(&config);
    let mut all = Traffic::generated(100, 3.0, 2.0, 21);
    let mut second = all.split_off(all.events.len() / 3);
    let third = second.split_off(second.events.len() / 2);
    let topic = topic_of(broker(), &all).await;
    let source = kafka_settings(&topic, "").replace("2_000", "250");
    let service = Service::start(&(settings(&config) + &source));
    for rest in [second, third] {
        wait_for_rows(&store, "access_events", all.events.len() / 2).await;
        drop(server);
        // However fast the service was, there is something left to store.
        produce(broker(), &topic, &rest);
        all = all.joined(rest);
        service.wait_until_it_waits_for("clickhouse").await;
        server = start(folder.path(), Some(port)).await;
    }
    wait_for_rows(&store, "access_events", all.events.len()).await;
    assert_exact(&store, &all).await;
    eventually("ready again", async || service.is_ready()).await;
    assert!(service.terminate().0.success());
}

#[tokio::test]
async fn a_stop_while_clickhouse_is_away_ends_in_time_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), None).await;
    let config = server.config();
    let port = config.url.rsplit(':').next().unwrap().parse().unwrap();
    let store = Store::new(&config);
    let mut traffic = Traffic::generated(100, 3.0, 2.0, 22);
    let rest = traffic.split_off(traffic.events.len() / 2);
    let topic = topic_of(broker(), &traffic).await;
    let settings = settings(&config) + &kafka_settings(&topic, "").replace("2_000", "250");
    let service = Service::start(&settings);
    wait_for_rows(&store, "access_events", traffic.events.len() / 2).await;
    drop(server);
    produce(broker(), &topic, &rest);
    let traffic = traffic.joined(rest);
    service.wait_until_it_waits_for("clickhouse").await;
    let (status, log) = service.terminate();
    assert!(status.success(), "{status}\n{log}");

    let _server = start(folder.path(), Some(port)).await;
    let _service = Service::start(&settings);
    wait_for_rows(&store, "access_events", traffic.events.len()).await;
    assert_exact(&store, &traffic).await;
}

#[tokio::test]
async fn kafka_that_is_down_at_the_start_is_waited_for() {
    let database = unmigrated().await;
    let place = Place::new();
    let topic = "access";
    let source = kafka_settings(topic, "").replace(&broker().place.address(), &place.address());
    let service = Service::start(&(settings(&database.config) + &source));
    service.wait_until_it_waits_for("source").await;
    service.wait_for_log("no Kafka broker can be reached");

    let broker = Broker::start(place);
    broker.create_topic(topic, PARTITIONS).await;
    let traffic = Traffic::attacks();
    for partition in 0..PARTITIONS {
        broker.produce(topic, partition, traffic.of_partition(partition));
    }
    wait_for_rows(&database.store, "access_events", traffic.events.len()).await;
    assert_exact(&database.store, &traffic).await;
    eventually("ready", async || service.is_ready()).await;
    let (_, log) = service.terminate();
    assert_eq!(log.matches("records carry no Kafka key").count(), 1, "{log}");
}

/// Killed with kill -9 twice and started again on its data, with records before and after.
#[tokio::test]
async fn kafka_that_dies_in_the_middle_is_waited_for() {
    let database = unmigrated().await;
    let place = Place::new();
    let mut broker = Broker::start_and_keep_data(place.clone());
    let mut all = Traffic::generated(100, 3.0, 2.0, 23);
    let rest = all.split_off(all.events.len() / 2);
    let topic = topic_of(&broker, &all).await;
    let source = kafka_settings(&topic, "").replace("2_000", "100");
    let source = source.replace(&crate::support::kafka::broker().place.address(), &place.address());
    let service = Service::start(&(settings(&database.config) + &source));
    wait_for_rows(&database.store, "access_events", all.events.len() / 4).await;
    drop(broker);
    service.wait_until_it_waits_for("source").await;
    broker = Broker::start_and_keep_data(place.clone());
    wait_for_rows(&database.store, "access_events", all.events.len()).await;
    drop(broker);
    service.wait_until_it_waits_for("source").await;
    let broker = Broker::start(place);
    produce(&broker, &topic, &rest);
    let all = all.joined(rest);
    wait_for_rows(&database.store, "access_events", all.events.len()).await;
    assert_exact(&database.store, &all).await;
    eventually("ready again", async || service.is_ready()).await;
    assert!(service.terminate().0.success());
}

#[tokio::test]
async fn a_wrong_clickhouse_password_ends_with_a_clear_message() {
    let database = unmigrated().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.jsonl");
    fs::write(&log, "").unwrap();
    let wrong = settings(&database.config) + "password = \"wr0ng\"\n" + &file_settings(&[&log]);
    let output = run(&wrong, Stdio::null());
    assert_eq!(output.status.code(), Some(1));
    let message = last_line(&output);
    assert!(message.contains("Check `user` and `password` in [clickhouse]"), "{message}");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("wr0ng"));
}

#[test]
fn what_cannot_work_is_said_at_once_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.jsonl");
    fs::write(&log, "").unwrap();
    let missing = folder.path().join("not-there");
    let base = settings(&nowhere());
    let cases = [
        (2, "did you mean `batch_records`", "[source]\nbatch_recrods = 1\n".to_owned()),
        (1, "not-there", file_settings(&[&missing])),
        (1, "is a directory", file_settings(&[folder.path()])),
        (
            2,
            "not-there.mmdb",
            file_settings(&[&log]) + "[enrich]\ncity_databases = [\"/not-there.mmdb\"]\n",
        ),
        (1, "dead_letter_topic", {
            let bad = "dead_letter_topic = \"x\"\nproperties = { \"no.such.thing\" = \"1\" }\n";
            file_settings(&[&log]) + "[source.kafka]\n" + bad
        }),
    ];
    for (code, expected, settings) in cases {
        let output = run(&(base.clone() + &settings), Stdio::null());
        let message = last_line(&output);
        assert_eq!(output.status.code(), Some(code), "{message}");
        assert!(message.starts_with("keywatch: ") && message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn standard_input_is_read_to_its_end() {
    let database = unmigrated().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.jsonl");
    let traffic = Traffic::attacks();
    traffic.write(&log);
    let settings = settings(&database.config) + "[source]\nkind = \"stdin\"\n";
    let output = run(&settings, File::open(&log).unwrap().into());
    assert!(output.status.success(), "{}", last_line(&output));
    assert_exact(&database.store, &traffic).await;
}

#[tokio::test]
async fn a_file_read_twice_is_stored_once_and_what_was_added_is_added() {
    let database = unmigrated().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.jsonl");
    let whole = Traffic::attacks();
    let part = Traffic { events: whole.events[..700].to_vec() };
    let settings = settings(&database.config) + &file_settings(&[&log]);
    for traffic in [&part, &part, &whole] {
        traffic.write(&log);
        let output = run(&settings, Stdio::null());
        assert!(output.status.success(), "{}", last_line(&output));
        assert_exact(&database.store, traffic).await;
    }
}

/// Wrong mail password, webhook in trouble: each is said, and neither holds up the other.
#[tokio::test]
async fn pushed_events_are_stored_and_told_though_receivers_are_in_trouble() {
    let database = unmigrated().await;
    let mailbox = Mailbox::start(&["--user", "kw", "--password", "right"]);
    let receiver = Receiver::start([Answer::Status(500), Answer::Status(500)]).await;
    let source = "[source]\nkind = \"http\"\n[source.http]\nlisten = \"127.0.0.1:0\"\n\
                  token = \"a-token\"\nstore_timeout_seconds = 90\n";
    let outward = format!(
        "[email]\nhost = \"localhost\"\nport = {}\ntls = \"none\"\nfrom = \"kw@example.com\"\n\
         to = [\"alice@example.com\"]\nusername = \"kw\"\npassword = \"wr0ng\"\n\
         [webhook]\nurl = \"{}\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n",
        mailbox.smtp_port, receiver.url
    );
    let service = Service::start(&(settings(&database.config) + source + &outward));
    let address = service.logged_address("taking events at POST /v1/events");
    let traffic = Traffic::attacks();
    // Small: the refusal closes the connection, whatever of the body is still under way.
    let (status, body) = post(&address, "another-token", &Traffic { events: Vec::new() });
    assert_eq!(status, 401, "{body}");
    let (status, body) = post(&address, "a-token", &traffic);
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["accepted"], traffic.events.len());
    // The answer comes when everything is stored.
    assert_exact(&database.store, &traffic).await;

    let undelivered = "SELECT count() FROM alerts WHERE (id, revision) NOT IN (SELECT alert_id, \
        revision FROM deliveries WHERE channel = 'webhook' AND outcome = 'delivered')";
    eventually("webhooks", async || {
        receiver.received().len() > 2 && lines(&database.store, undelivered).await == ["0"]
    })
    .await;
    assert!(count(&database.store, "alerts").await > 0);
    service.wait_for_log("channel is blocked");
    let (status, log) = service.terminate();
    assert!(status.success(), "{status}\n{log}");
    assert!(log.contains("check email.username and email.password"), "{log}");
    assert!(!log.contains("wr0ng") && !log.contains("alice@"), "{log}");
    assert_eq!(mailbox.mails().len(), 0);

    // With the password mended the next start delivers what was left.
    let mended = (settings(&database.config) + source + &outward).replace("wr0ng", "right");
    let _service = Service::start(&mended);
    mailbox.wait_for(1).await;
}

fn post(address: &str, token: &str, traffic: &Traffic) -> (u16, String) {
    let lines: Vec<String> = traffic.events.iter().map(Value::to_string).collect();
    let body = lines.join("\n");
    let head = format!(
        "POST /v1/events HTTP/1.0\r\nauthorization: Bearer {token}\r\n\
         content-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    request(address, &(head + &body))
}

#[test]
fn a_taken_port_of_the_endpoints_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let settings = settings(&nowhere()).replace("127.0.0.1:0", &taken);
    let output = run(&(settings + &file_settings(&[Path::new("/dev/null")])), Stdio::null());
    assert_eq!(output.status.code(), Some(1));
    assert!(last_line(&output).contains(&format!("service.listen {taken}")));
}
