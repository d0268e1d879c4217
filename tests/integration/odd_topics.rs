//! Reads topics with odd contents: tombstones, aborted transactions, large headers, every
//! compression, many partitions. Each event is stored once.

use std::time::Duration;

use keywatch::event::EventTime;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;

use crate::support::clickhouse::{TestDatabase, lines, unmigrated};
use crate::support::eventually::{LIMIT, eventually};
use crate::support::kafka::{broker, unique};
use crate::support::service::Service;
use crate::support::settings::Settings;
use crate::support::stored::wait_for_rows;

const WITHIN: Duration = Duration::from_secs(60);

fn producer(settings: &[(&str, &str)]) -> BaseProducer {
    let mut client = broker().client();
    client.set("queue.buffering.max.messages", "1000000").set("message.max.bytes", "20000000");
    for (name, value) in settings {
        client.set(*name, *value);
    }
    client.create().unwrap()
}

fn event(number: usize) -> String {
    json!({
        "time": EventTime::now().as_micros(), "key_id": format!("key-{}", number % 50),
        "client_ip": "192.0.2.1", "method": "GET", "path": "/v1/orders", "status": 200,
        "request_id": number.to_string(),
    })
    .to_string()
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, number: usize) {
    let (key, payload) = (format!("key-{}", number % 50), event(number));
    let record = BaseRecord::to(topic).partition(partition).key(&key).payload(&payload);
    producer.send(record).map_err(|(error, _)| error).unwrap();
}

fn service(database: &TestDatabase, topic: &str) -> Service {
    let settings = Settings::new(&database.config).kafka(topic).set("log.filter", "info");
    Service::start(&settings.set("source.batch_records", 20_000))
}

/// Waits until so many events are stored, each once and in the rollups too.
async fn eventually_exact(database: &TestDatabase, events: usize) {
    wait_for_rows(&database.store, "access_events", events).await;
    eventually("each event is stored and counted once", LIMIT, async || {
        let stored = stored(database).await;
        (stored == format!("{events} {events} {events}")).then_some(()).ok_or(stored)
    })
    .await;
}

/// Numbers of rows, of different events, and of events that the rollups counted.
async fn stored(database: &TestDatabase) -> String {
    let sql = "SELECT count(), uniqExact(request_id), \
        (SELECT sum(requests) FROM key_usage_hour) FROM access_events";
    lines(&database.store, sql).await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn tombstones_compressions_and_large_headers_lose_and_repeat_nothing() {
    let (database, topic) = (unmigrated().await, unique("odd"));
    broker().create_topic(&topic, 1).await;
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    let mut number = 0;
    for codec in codecs {
        let producer = producer(&[("compression.type", codec)]);
        for _ in 0..200 {
            send(&producer, &topic, 0, number);
            number += 1;
        }
        for _ in 0..100_000 / codecs.len() {
            let record: BaseRecord<'_, str, [u8]> = BaseRecord::to(&topic).partition(0).key("gone");
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(WITHIN).unwrap();
    }
    let large = producer(&[]);
    // The broker takes no more than a MiB.
    let value = vec![b'h'; 900_000];
    for _ in 0..20 {
        let header = Header { key: "trace", value: Some(&value) };
        let payload = event(number);
        let record: BaseRecord<'_, str, str> = BaseRecord::to(&topic)
            .partition(0)
            .payload(payload.as_str())
            .headers(OwnedHeaders::new().insert(header));
        large.send(record).map_err(|(error, _)| error).unwrap();
        number += 1;
    }
    send(&large, &topic, 0, number);
    large.flush(WITHIN).unwrap();
    number += 1;

    let service = service(&database, &topic);
    eventually_exact(&database, number).await;
    eventually("everything is committed", LIMIT, async || {
        service.metric("keywatch_source_lag_records") == 0.0
    })
    .await;
    assert_eq!(stored(&database).await, format!("{number} {number} {number}"));
    assert!(service.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_are_aborted_in_the_middle_leave_nothing() {
    let (database, topic) = (unmigrated().await, unique("aborted"));
    broker().create_topic(&topic, 1).await;
    let producer = producer(&[("transactional.id", &topic)]);
    producer.init_transactions(WITHIN).unwrap();
    let (mut number, mut committed) = (0, 0);
    for round in 0..20 {
        producer.begin_transaction().unwrap();
        for _ in 0..100 {
            send(&producer, &topic, 0, number);
            number += 1;
        }
        producer.flush(WITHIN).unwrap();
        if round % 2 == 0 {
            producer.abort_transaction(WITHIN).unwrap();
        } else {
            producer.commit_transaction(WITHIN).unwrap();
            committed += 100;
        }
    }
    let service = service(&database, &topic);
    eventually_exact(&database, committed).await;
    service.kill();
    let service = self::service(&database, &topic);
    eventually("ready again", LIMIT, async || service.is_ready()).await;
    assert!(service.terminate().0.success());
    assert_eq!(stored(&database).await, format!("{committed} {committed} {committed}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_two_hundred_partitions_is_read_to_its_end() {
    const PARTITIONS: i32 = 200;
    let (database, topic) = (unmigrated().await, unique("wide"));
    broker().create_topic(&topic, PARTITIONS).await;
    let producer = producer(&[]);
    let mut number = 0;
    for partition in 0..PARTITIONS {
        for _ in 0..20 {
            send(&producer, &topic, partition, number);
            number += 1;
        }
    }
    producer.flush(WITHIN).unwrap();
    let service = service(&database, &topic);
    eventually_exact(&database, number).await;
    let (status, log) = service.terminate();
    assert!(status.success(), "{status}\n{log}");
}
