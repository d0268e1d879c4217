//! The whole way, all parts real: Kafka, `keywatch run`, ClickHouse, mailbox, webhook, topics.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use keywatch::store::{Store, analyst_query};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Headers;
use serde_json::Value;

use crate::support::alerts::eventually_judged;
use crate::support::clickhouse::{TestDatabase, lines, unmigrated};
use crate::support::geo;
use crate::support::kafka::{Broker, broker, unique};
use crate::support::mailbox::Mailbox;
use crate::support::receiver::Receiver;
use crate::support::service::{Service, eventually, settings};
use crate::support::traffic::{
    PARTITIONS, REPLAYED_KEY, SECRET_WORD, TRAVELLING_KEY, Traffic, undecodable,
};

const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const ROWS: &str = "SELECT request_id, key_id, toUnixTimestamp64Micro(time), status \
    FROM access_events ORDER BY concat(request_id, ' ', key_id)";

fn usage_query(bucket: &str) -> String {
    format!(
        "SELECT key_id, toUnixTimestamp({bucket}), sum(requests), sum(status_2xx), \
         sum(status_3xx), sum(status_4xx), sum(status_5xx), sum(unauthorized), sum(throttled), \
         sum(bytes_in), sum(bytes_out) \
         FROM key_usage_{bucket} GROUP BY key_id, {bucket} ORDER BY key_id, {bucket}"
    )
}

/// A topic with `traffic` in it.
pub async fn topic_of(broker: &Broker, traffic: &Traffic) -> String {
    let topic = unique("access");
    broker.create_topic(&topic, PARTITIONS).await;
    produce(broker, &topic, traffic);
    topic
}

/// As the README asks of producers: partitioned by key.
pub fn produce(broker: &Broker, topic: &str, traffic: &Traffic) {
    for partition in 0..PARTITIONS {
        broker.produce_keyed(topic, partition, traffic.keyed_of_partition(partition));
    }
}

pub fn kafka_settings(topic: &str, more: &str) -> String {
    let brokers = broker().place.address();
    format!(
        "[source]\nkind = \"kafka\"\nbatch_records = 2_000\n\
         [source.kafka]\nbrokers = \"{brokers}\"\ntopics = [\"{topic}\"]\n\
         group_id = \"of-{topic}\"\n{more}\n"
    )
}

pub async fn count(store: &Store, table: &str) -> usize {
    // Before the service has migrated there is no table.
    let answer = store.query_table(&format!("SELECT count() FROM {table}"), &[]).await;
    answer.map_or(0, |table| table.rows[0][0].parse().unwrap())
}

pub async fn wait_for_rows(store: &Store, table: &str, rows: usize) {
    eventually(&format!("{rows} rows in {table}"), async || count(store, table).await >= rows)
        .await;
}

/// Raw rows, minutes and hours are what was sent, and the ledger has no gap, overlap or doubt.
pub async fn assert_exact(store: &Store, traffic: &Traffic) {
    eventually("every batch is done", async || {
        let completeness = analyst_query("completeness").unwrap();
        store.query_table(completeness.sql, &[]).await.unwrap().rows.is_empty()
    })
    .await;
    let mut rows = lines(store, ROWS).await;
    rows.sort();
    assert_same("raw rows", &rows, &traffic.rows());
    assert_same("minutes", &lines(store, &usage_query("minute")).await, &traffic.usage(60));
    assert_same("hours", &lines(store, &usage_query("hour")).await, &traffic.usage(3_600));
    let alerts = "SELECT id, revision, count() FROM alerts GROUP BY ALL HAVING count() > 1";
    assert_eq!(lines(store, alerts).await, [""; 0], "alert revisions stored twice");
}

/// As `assert_eq`, without printing tens of thousands of lines.
fn assert_same(what: &str, found: &[String], expected: &[String]) {
    let differs = found.iter().zip(expected).find(|(found, expected)| found != expected);
    assert!(differs.is_none(), "{what}, found and expected: {differs:#?}");
    assert_eq!(found.len(), expected.len(), "{what}");
}

/// Payload and headers.
type KafkaMessage = (Vec<u8>, Vec<(String, String)>);

/// All messages of a topic with one partition that is not written any more.
fn messages(broker: &Broker, topic: &str, wanted: usize) -> Vec<KafkaMessage> {
    let mut client = broker.client();
    client.set("group.id", unique("reader")).set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = client.create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut messages = Vec::new();
    while messages.len() < wanted {
        assert!(Instant::now() < deadline, "{} of {wanted} in {topic}", messages.len());
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.unwrap();
        let headers = message.headers().into_iter().flat_map(Headers::iter).map(|header| {
            let value = String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned();
            (header.key.to_owned(), value)
        });
        messages.push((message.payload().unwrap_or_default().to_vec(), headers.collect()));
    }
    messages
}

/// All that is stored, as text.
async fn dump(store: &Store) -> String {
    let mut dump = String::new();
    for table in ["access_events", "rejected_events", "alerts", "deliveries", "ingest_batches"] {
        dump += &lines(store, &format!("SELECT * FROM {table}")).await.join("\n");
    }
    for table in ["key_usage_minute", "key_usage_hour"] {
        dump += &lines(store, &format!("SELECT DISTINCT key_id FROM {table}")).await.join("\n");
    }
    dump
}

fn assert_no_secret(place: &str, text: &str, secrets: &HashSet<&str>) {
    assert!(!text.contains(SECRET_WORD), "{place}: {}", around(text, SECRET_WORD));
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    for word in words {
        assert!(!secrets.contains(word), "{place}: {}", around(text, word));
    }
}

fn around(text: &str, word: &str) -> String {
    let at = text.find(word).unwrap_or(0);
    text.chars().skip(text[..at].chars().count().saturating_sub(200)).take(400).collect()
}

/// The alert about `key` in which `detector` has a part.
fn names(alert: &Value, key: &str, detector: &str) -> bool {
    let detectors = alert["detectors"].as_array().unwrap();
    alert["key_id"] == key && detectors.iter().any(|known| known == detector)
}

const EXPECTED: [(&str, &str); 2] =
    [(REPLAYED_KEY, "replay.duplicate_nonce"), (TRAVELLING_KEY, "geo.impossible_travel")];

fn has_expected(alerts: &[Value]) -> bool {
    EXPECTED.iter().all(|(key, detector)| alerts.iter().any(|a| names(a, key, detector)))
}

#[tokio::test]
async fn logs_become_rows_rollups_and_alerts_on_every_channel() {
    let Some(geo) = geo::settings() else {
        eprintln!("skipped: no GeoIP databases in the cache; `make test` fetches them");
        return;
    };
    let database = unmigrated().await;
    let broker = broker();
    let traffic = Traffic::generated(200, 4.0, 3.0, 11).with_attacks().with_raw_keys(300);
    assert!(traffic.events.len() > 40_000, "{}", traffic.events.len());
    let (topic, bad) = (unique("access"), undecodable());
    broker.create_topic(&topic, PARTITIONS).await;
    broker.produce(&topic, 1, &bad);
    let (alerts, dead_letters) = (unique("alerts"), unique("rejected"));
    broker.create_topic(&alerts, 1).await;
    broker.create_topic(&dead_letters, 1).await;
    let mailbox = Mailbox::start(&[]);
    let receiver = Receiver::start([]).await;

    let dead = format!("dead_letter_topic = \"{dead_letters}\"");
    let source = kafka_settings(&topic, &dead);
    let service = Service::start(
        &(settings(&database.config) + &source + &geo + &channels(&mailbox, &receiver, &alerts)),
    );

    let store = &database.store;
    // All at once, a backlog: partitions are read hours apart.
    produce(broker, &topic, &traffic);
    wait_for_rows(store, "access_events", traffic.events.len()).await;
    wait_for_rows(store, "rejected_events", bad.len()).await;
    assert_exact(store, &traffic).await;
    assert_eq!(count(store, "rejected_events").await, bad.len());

    eventually_judged(&service).await;
    let stored = stored_alerts(&database).await;
    assert!(has_expected(&stored), "{stored:#?}");
    wait_until_told(store).await;
    check_mails(&mailbox);
    check_webhooks(&receiver);
    let on_topic: Vec<Value> = messages(broker, &alerts, stored.len())
        .iter()
        .map(|(payload, _)| serde_json::from_slice(payload).unwrap())
        .collect();
    assert!(has_expected(&on_topic));

    let dead = messages(broker, &dead_letters, bad.len());
    check_dead_letters(&dead);
    check_metrics(&service, &traffic, bad.len());
    check_alert_metrics(&service, &database, traffic.events.len() + bad.len()).await;

    let (status, log) = service.terminate();
    assert!(status.success(), "{status}\n{log}");
    let secrets: HashSet<&str> = traffic.secrets().collect();
    assert!(secrets.len() > 10_000, "{}", secrets.len());
    let mails = mailbox.mails().into_iter().flat_map(|mail| [mail.raw, mail.text, mail.html]);
    let calls = receiver.received();
    let calls = calls.iter().map(|call| String::from_utf8_lossy(&call.body).into_owned());
    let dead = dead.into_iter().flat_map(|(payload, headers)| {
        [String::from_utf8_lossy(&payload).into_owned(), format!("{headers:?}")]
    });
    assert_no_secret("ClickHouse", &dump(store).await, &secrets);
    assert_no_secret("log", &log, &secrets);
    assert_no_secret("mail", &mails.collect::<Vec<_>>().join("\n"), &secrets);
    assert_no_secret("webhook", &calls.collect::<Vec<_>>().join("\n"), &secrets);
    assert_no_secret("alerts topic", &format!("{on_topic:?}"), &secrets);
    assert_no_secret("dead letters", &dead.collect::<Vec<_>>().join("\n"), &secrets);
}

fn channels(mailbox: &Mailbox, receiver: &Receiver, alerts: &str) -> String {
    format!(
        "[email]\nhost = \"localhost\"\nport = {}\ntls = \"none\"\nfrom = \"keywatch@example.com\"\n\
         to = [\"security@example.com\"]\nmin_severity = \"low\"\nmax_per_minute = 10_000\n\
         [webhook]\nurl = \"{}\"\nsecret = \"{WEBHOOK_SECRET}\"\n\
         [alerts_topic]\ntopic = \"{alerts}\"\n",
        mailbox.smtp_port, receiver.url
    )
}

/// Waits until every channel has every revision, or need not have it.
async fn wait_until_told(store: &Store) {
    let left = "SELECT count() FROM alerts WHERE (id, revision) NOT IN (SELECT alert_id, revision \
        FROM deliveries WHERE channel = 'CHANNEL' AND outcome IN ('delivered', 'skipped'))";
    for channel in ["email", "webhook", "topic"] {
        let left = left.replace("CHANNEL", channel);
        eventually(channel, async || lines(store, &left).await == ["0"]).await;
    }
}

fn check_dead_letters(dead: &[KafkaMessage]) {
    let reasons: Vec<&str> = dead
        .iter()
        .map(|(_, headers)| {
            let reason = headers.iter().find(|(name, _)| name == "keywatch-reason");
            reason.map(|(_, reason)| reason.as_str()).unwrap()
        })
        .collect();
    assert!(reasons.contains(&"future_time"), "{reasons:?}");
}

async fn stored_alerts(database: &TestDatabase) -> Vec<Value> {
    let table = database.store.query_table("SELECT alert FROM alerts FINAL", &[]).await.unwrap();
    table.rows.iter().map(|row| serde_json::from_str(&row[0]).unwrap()).collect()
}

fn check_mails(mailbox: &Mailbox) {
    let mails = mailbox.mails();
    for (key, _) in EXPECTED {
        let told = mails.iter().any(|mail| mail.text.contains(key) && mail.html.contains(key));
        assert!(
            told,
            "{key} in no mail: {:?}",
            mails.iter().map(|m| &m.subject).collect::<Vec<_>>()
        );
    }
}

fn check_webhooks(receiver: &Receiver) {
    let received = receiver.received();
    for (key, detector) in EXPECTED {
        let is_it = |body: &[u8]| names(&serde_json::from_slice(body).unwrap(), key, detector);
        let call = received.iter().find(|call| is_it(&call.body)).expect(key);
        let payload = call.verified(WEBHOOK_SECRET).expect("a valid signature");
        assert_eq!(payload["key_id"], key);
    }
}

/// The counters agree with what was sent, and every line is one that Prometheus reads.
fn check_metrics(service: &Service, traffic: &Traffic, rejections: usize) {
    let (status, text) = service.get("/metrics");
    assert_eq!(status, 200);
    for line in text.lines().filter(|line| !line.is_empty()) {
        assert!(is_exposition_line(line), "{line}");
    }
    let sent = traffic.events.len() + rejections;
    for (name, expected) in [
        ("keywatch_source_records_total", sent),
        ("keywatch_events_total", traffic.events.len()),
        ("keywatch_rejections_total", rejections),
    ] {
        assert_eq!(service.metric(name), expected as f64, "{name}");
    }
}

/// An incident of a source may close at any time.
async fn check_alert_metrics(service: &Service, database: &TestDatabase, sent: usize) {
    let attempts = count(&database.store, "source_attempts").await;
    let least = stored_alerts(database).await.len();
    let metrics = [
        ("keywatch_alerts_total", 0),
        ("keywatch_event_to_alert_seconds_count", 0),
        ("keywatch_stored_rows_total", sent + attempts),
    ];
    let found = metrics.map(|(name, others)| (name, service.metric(name) - others as f64));
    let most = stored_alerts(database).await.len();
    for (name, alerts) in found {
        assert!(
            (least as f64..=most as f64).contains(&alerts),
            "{name}: {alerts}, {least}, {most}"
        );
    }
    assert!(service.metric("keywatch_deliveries_total") >= 3.0 * least as f64);
    eventually("all is delivered", async || service.metric("keywatch_deliveries_waiting") == 0.0)
        .await;
}

/// Text format 0.0.4: `# HELP name text`, `# TYPE name kind`, `name{label="value",..} number`.
fn is_exposition_line(line: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c))
    };
    if let Some(comment) = line.strip_prefix("# ") {
        let mut words = comment.split(' ');
        return matches!(words.next(), Some("HELP" | "TYPE")) && words.next().is_some_and(is_name);
    }
    let Some((series, value)) = line.rsplit_once(' ') else { return false };
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    is_name(name) && labels.ends_with('}') && value.parse::<f64>().is_ok()
}

#[tokio::test]
async fn kills_and_stops_in_the_middle_lose_and_repeat_nothing() {
    let database = unmigrated().await;
    let traffic = Traffic::generated(100, 4.0, 2.0, 12);
    let topic = topic_of(broker(), &traffic).await;
    // A static member: the group need not wait until it has missed the killed one.
    let small = "[source.kafka.properties]\n\"group.instance.id\" = \"one\"";
    let source = kafka_settings(&topic, small).replace("2_000", "250");
    let settings = settings(&database.config) + &source;
    let total = traffic.events.len();
    for part in 1..=8 {
        let service = Service::start(&settings);
        wait_for_rows(&database.store, "access_events", total * part / 10).await;
        if part % 4 == 0 {
            let (status, log) = service.terminate();
            assert!(status.success(), "{status}\n{log}");
        } else {
            service.kill();
        }
    }
    let service = Service::start(&settings);
    wait_for_rows(&database.store, "access_events", total).await;
    assert_exact(&database.store, &traffic).await;
    assert!(service.terminate().0.success());
}

/// The second member takes the partitions over from the first, which is killed.
#[tokio::test]
async fn a_member_of_the_group_takes_over_from_another() {
    let database = unmigrated().await;
    let traffic = Traffic::generated(100, 4.0, 2.0, 13);
    let topic = topic_of(broker(), &traffic).await;
    let soon = "[source.kafka.properties]\n\"session.timeout.ms\" = \"6000\"\n\
                \"heartbeat.interval.ms\" = \"500\"";
    let source = kafka_settings(&topic, soon).replace("2_000", "100");
    let settings = settings(&database.config) + &source;
    let total = traffic.events.len();
    let first = Service::start(&settings);
    wait_for_rows(&database.store, "access_events", total / 10).await;
    let second = Service::start(&settings);
    second.wait_for_log("reading a partition");
    wait_for_rows(&database.store, "access_events", total / 3).await;
    first.kill();
    wait_for_rows(&database.store, "access_events", total).await;
    assert_exact(&database.store, &traffic).await;
    assert!(second.terminate().0.success());
}
