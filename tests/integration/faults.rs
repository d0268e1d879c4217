//! Tests the service when its parts are away, misconfigured or broken: it reports this, continues,
//! and loses nothing.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use keywatch::config::ClickHouseConfig;
use keywatch::store::Store;
use serde_json::Value;

use crate::support::clickhouse::{credentials, lines, start, unmigrated};
use crate::support::eventually::{LIMIT, eventually};
use crate::support::kafka::{Broker, Place, broker};
use crate::support::mailbox::Mailbox;
use crate::support::port::free_port;
use crate::support::receiver::{Answer, Receiver};
use crate::support::service::{Service, last_line, request, run};
use crate::support::settings::Settings;
use crate::support::stored::{assert_exact, count, wait_for_rows};
use crate::support::topic::{produce, topic_of};
use crate::support::traffic::{PARTITIONS, Traffic};

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
    let data = folder.path().join("clickhouse");
    let config = ClickHouseConfig { url, ..credentials(&data) };
    let service = Service::start(&Settings::new(&config).files(&[&log]));
    service.wait_until_it_waits_for("clickhouse").await;

    let server = start(&data, Some(port)).await;
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
    let service = Service::start(&Settings::new(&config).kafka(&topic).batch_records(250));
    for rest in [second, third] {
        wait_for_rows(&store, "access_events", all.events.len() / 2).await;
        drop(server);
        // However fast the service was, some records are left to store.
        produce(broker(), &topic, &rest);
        all = all.joined(rest);
        service.wait_until_it_waits_for("clickhouse").await;
        server = start(folder.path(), Some(port)).await;
    }
    wait_for_rows(&store, "access_events", all.events.len()).await;
    assert_exact(&store, &all).await;
    eventually("ready again", LIMIT, async || service.is_ready()).await;
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
    let settings = Settings::new(&config).kafka(&topic).batch_records(250);
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
    let settings = Settings::new(&database.config).kafka(topic);
    let service = Service::start(&settings.set("source.kafka.brokers", place.address()));
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
    eventually("ready", LIMIT, async || service.is_ready()).await;
    let (_, log) = service.terminate();
    assert_eq!(log.matches("records carry no Kafka key").count(), 1, "{log}");
}

/// `kill -9` ends the broker twice. It is started again on its data, with records before and after.
#[tokio::test]
async fn kafka_that_dies_in_the_middle_is_waited_for() {
    let database = unmigrated().await;
    let place = Place::new();
    let mut broker = Broker::start_and_keep_data(place.clone());
    let mut all = Traffic::generated(100, 3.0, 2.0, 23);
    let rest = all.split_off(all.events.len() / 2);
    let topic = topic_of(&broker, &all).await;
    let settings = Settings::new(&database.config).kafka(&topic).batch_records(100);
    let service = Service::start(&settings.set("source.kafka.brokers", place.address()));
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
    eventually("ready again", LIMIT, async || service.is_ready()).await;
    assert!(service.terminate().0.success());
}

#[tokio::test]
async fn a_wrong_clickhouse_password_ends_with_a_clear_message() {
    let database = unmigrated().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.jsonl");
    fs::write(&log, "").unwrap();
    let wrong = Settings::new(&database.config).set("clickhouse.password", "wr0ng").files(&[&log]);
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
    let base = Settings::new(&nowhere());
    let files = |path: &Path| base.clone().files(&[path]);
    let database = vec!["/not-there.mmdb"];
    let cases = [
        (2, "did you mean `batch_records`", base.clone().set("source.batch_recrods", 1)),
        (1, "not-there", files(&missing)),
        (1, "is a directory", files(folder.path())),
        (2, "not-there.mmdb", files(&log).set("enrich.city_databases", database)),
        (
            1,
            "dead_letter_topic",
            files(&log).set("source.kafka.dead_letter_topic", "x").property("no.such.thing", "1"),
        ),
    ];
    for (code, expected, settings) in cases {
        let output = run(&settings, Stdio::null());
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
    let settings = Settings::new(&database.config).set("source.kind", "stdin");
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
    let settings = Settings::new(&database.config).files(&[&log]);
    for traffic in [&part, &part, &whole] {
        traffic.write(&log);
        let output = run(&settings, Stdio::null());
        assert!(output.status.success(), "{}", last_line(&output));
        assert_exact(&database.store, traffic).await;
    }
}

/// The broker of the dead letter topic is away: alerts do not wait for it, and each rejection is
/// stored.
#[tokio::test]
async fn an_absent_dead_letter_topic_holds_up_nothing() {
    let database = unmigrated().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.jsonl");
    let mut lines = b"no event\n".repeat(3);
    for event in &Traffic::attacks().events {
        lines.extend(serde_json::to_vec(event).unwrap());
        lines.push(b'\n');
    }
    fs::write(&log, lines).unwrap();
    let away = format!("127.0.0.1:{}", free_port());
    let settings = Settings::new(&database.config)
        .files(&[&log])
        .set("source.kafka.dead_letter_topic", "rejected")
        .set("source.kafka.brokers", away);
    let (status, log) = Service::start(&settings).wait();
    assert!(status.success(), "{status}\n{log}");
    assert!(log.contains("alert.opened"), "{log}");
    assert!(!log.contains("could not be stored in time"), "{log}");
    assert_eq!(count(&database.store, "rejected_events").await, 3);
}

/// The mail password is wrong and the webhook fails: each fault is reported, and neither delays the
/// other channel.
#[tokio::test]
async fn pushed_events_are_stored_and_told_though_receivers_are_in_trouble() {
    let database = unmigrated().await;
    let mailbox = Mailbox::start(&["--user", "kw", "--password", "right"]);
    let receiver = Receiver::start([Answer::Status(500), Answer::Status(500)]).await;
    let settings = Settings::new(&database.config)
        .set("source.kind", "http")
        .set("source.http.listen", "127.0.0.1:0")
        .set("source.http.token", "a-token")
        .set("source.http.store_timeout_seconds", 90)
        .mail_to(&mailbox, "alice@example.com")
        .set("email.username", "kw")
        .set("email.password", "wr0ng")
        .webhook(&receiver.url, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let service = Service::start(&settings);
    let address = service.logged_address("accepting events at POST /v1/events");
    let traffic = Traffic::attacks();
    // The body is small: the refusal closes the connection even if a part of the body is still in
    // transit.
    let (status, body) = post(&address, "another-token", &Traffic { events: Vec::new() });
    assert_eq!(status, 401, "{body}");
    let (status, body) = post(&address, "a-token", &traffic);
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["accepted"], traffic.events.len());
    // The reply arrives once everything is stored.
    assert_exact(&database.store, &traffic).await;

    let undelivered = "SELECT count() FROM alerts WHERE (id, revision) NOT IN (SELECT alert_id, \
        revision FROM deliveries WHERE channel = 'webhook' AND outcome = 'delivered')";
    eventually("webhooks", LIMIT, async || {
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

    // With the corrected password, the next start delivers the remaining alerts.
    let _service = Service::start(&settings.set("email.password", "right"));
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
    let settings = Settings::new(&nowhere()).set("service.listen", taken.as_str());
    let output = run(&settings.files(&[Path::new("/dev/null")]), Stdio::null());
    assert_eq!(output.status.code(), Some(1));
    assert!(last_line(&output).contains(&format!("service.listen {taken}")));
}
