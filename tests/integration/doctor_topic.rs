//! Tests the doctor on a Kafka topic, and on the first records of a running service.

use std::fs;
use std::time::Duration;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::support::clickhouse::database;
use crate::support::eventually::{LIMIT, eventually};
use crate::support::kafka::{Broker, broker, unique};
use crate::support::service::Service;
use crate::support::settings::Settings;
use crate::support::stored::wait_for_rows;

const WITHIN: Duration = Duration::from_secs(30);

fn event(number: usize) -> Value {
    json!({
        "time": 1_790_000_000.25 + number as f64, "key_id": format!("k{}", number % 7),
        "client_ip": format!("198.51.100.{}", number % 20), "method": "GET", "path": "/v1",
        "status": 200, "request_id": format!("r{number}"),
    })
}

/// Runs the doctor as a member of `group` would.
fn doctor(broker: &Broker, topic: &str, group: &str, more: &[&str]) -> Assert {
    let mut command = Command::cargo_bin("keywatch").unwrap();
    command
        .args(["doctor", "--topic", topic])
        .args(more)
        .env("KEYWATCH__SOURCE__KAFKA__BROKERS", broker.place.address())
        .env("KEYWATCH__SOURCE__KAFKA__GROUP_ID", group)
        .assert()
}

fn output(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_examined_without_its_group_and_its_record_keys_are_told() {
    let (broker, topic) = (broker(), unique("doctor"));
    broker.create_topic(&topic, 3).await;
    let half = |partition: i32| {
        (0..40).filter(move |it| it % 2 == partition as usize).map(|it| event(it).to_string())
    };
    broker.produce(&topic, 0, half(0));
    broker.produce_keyed(&topic, 1, half(1).map(|payload| ("key".to_owned(), payload)));
    let producer: BaseProducer = broker.client().create().unwrap();
    let tombstone: BaseRecord<'_, str, [u8]> = BaseRecord::to(&topic).partition(1).key("gone");
    producer.send(tombstone).map_err(|(error, _)| error).unwrap();
    producer.flush(WITHIN).unwrap();

    let text = output(&doctor(broker, &topic, &topic, &[]).success());
    assert!(text.starts_with("Read all 40 records ("), "{text}");
    let text = words(&text);
    assert!(text.contains(&format!("of the 3 partitions of {topic}.")), "{text}");
    assert!(text.contains("the requests of 7 of 7 API keys are in several partitions"), "{text}");
    assert!(text.contains("1 tombstone in the topic"), "{text}");
    let json = output(&doctor(broker, &topic, &topic, &["--json"]).success());
    let sample = &serde_json::from_str::<Value>(&json).unwrap()["sample"];
    assert_eq!(
        sample["topic"],
        json!({ "name": topic, "partitions": 3, "unkeyed": 20, "tombstones": 1 })
    );
    assert_eq!((&sample["records"], &sample["is_whole"]), (&json!(40), &json!(true)));

    let probe: BaseConsumer = broker.client().set("group.id", &topic).create().unwrap();
    let groups = probe.fetch_group_list(Some(&topic), WITHIN).unwrap();
    assert!(groups.groups().iter().all(|group| group.members().is_empty()), "a member joined");
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition_range(&topic, 0, 2);
    let committed = probe.committed_offsets(wanted, WITHIN).unwrap();
    let is_none = |offset| matches!(offset, Offset::Invalid);
    assert!(committed.elements().iter().all(|it| is_none(it.offset())), "{committed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_format_of_a_topic_is_named_and_a_topic_without_requests_ends_with_a_sentence() {
    let (broker, topic) = (broker(), unique("doctor"));
    let failure = |topic: &str| {
        let assert = doctor(broker, topic, topic, &[]).code(1);
        String::from_utf8(assert.get_output().stderr.clone()).unwrap()
    };
    assert!(failure(&topic).contains(&format!("Kafka has no topic {topic}")));
    broker.create_topic(&topic, 1).await;
    assert!(failure(&topic).contains("nothing was read: the log is empty"));
    let kong = fs::read_to_string("tests/fixtures/logs/kong.jsonl").unwrap();
    broker.produce(&topic, 0, kong.lines());
    let text = words(&output(&doctor(broker, &topic, &topic, &[]).success()));
    assert!(text.contains(r#"-> [decode] format = "kong""#), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_says_what_its_first_records_lack_and_reads_on() {
    let database = database().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.jsonl");
    let private = |number: usize| {
        let mut event = event(number);
        event["client_ip"] = "10.0.0.5".into();
        format!("{event}\n")
    };
    fs::write(&log, (0..300).map(private).collect::<String>()).unwrap();
    let settings = Settings::new(&database.config).set("clickhouse.raw_retention_days", 0);
    let service = Service::start(&settings.files(&[&log]));
    let (status, log) = service.wait();
    assert!(status.success(), "{log}");
    wait_for_rows(&database.store, "access_events", 300).await;
    let fields = |message: &str| {
        let line = log.lines().find(|line| line.contains(message));
        let line = line.unwrap_or_else(|| panic!("{message} is not in {log}"));
        serde_json::from_str::<Value>(line).unwrap()
    };
    let decoded = &fields("examined the first records")["decoded"];
    assert!(decoded.as_str().unwrap().starts_with("100 % of 300 requests decoded"), "{decoded}");
    let warnings = &fields("the log has faults")["warnings"];
    assert!(warnings.as_str().unwrap().contains("of the addresses are private"), "{warnings}");
    let detectors = &fields("detectors are blind")["detectors"];
    assert!(detectors.as_str().unwrap().contains("replay.duplicate_nonce"), "{detectors}");
}

/// A service that reads a log without keys must not be silent until many records have come.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_says_that_nothing_can_be_judged_although_few_records_came() {
    let database = database().await;
    let (broker, topic) = (broker(), unique("doctor"));
    broker.create_topic(&topic, 1).await;
    let mut keyless = event(1);
    keyless.as_object_mut().unwrap().remove("key_id");
    broker.produce(&topic, 0, [keyless.to_string()]);
    let service = Service::start(&Settings::new(&database.config).kafka(&topic));
    eventually("the service says so", LIMIT, async || {
        let log = service.log();
        log.contains("the log names no API key").then_some(()).ok_or(log)
    })
    .await;
    assert!(service.terminate().0.success());
}
