//! Tests the producer of alerts and dead letters against Apache Kafka.

use std::time::Duration;

use keywatch::kafka::producer::TopicProducer;
use rdkafka::Message;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::Headers;
use tokio::time::timeout;

use crate::support::kafka::{broker, unique};

#[tokio::test(flavor = "multi_thread")]
async fn a_record_arrives_with_key_payload_and_headers() {
    let (broker, topic) = (broker(), unique("alerts"));
    broker.create_topic(&topic, 1).await;
    let producer = TopicProducer::new(&broker.place.config(&topic, "none"), &topic).unwrap();
    producer.send(Some("key-1"), b"{\"a\":1}", &[("reason", "invalid_json")]).await.unwrap();
    producer.send(None, b"second", &[]).await.unwrap();

    let consumer: StreamConsumer = broker
        .client()
        .set("group.id", &topic)
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&[&topic]).unwrap();
    let mut received = Vec::new();
    for _ in 0..2 {
        let record = timeout(Duration::from_secs(60), consumer.recv()).await.unwrap().unwrap();
        received.push(record.detach());
    }
    assert_eq!(received[0].key(), Some(&b"key-1"[..]));
    assert_eq!(received[0].payload(), Some(&b"{\"a\":1}"[..]));
    let header = received[0].headers().unwrap().get(0);
    assert_eq!((header.key, header.value), ("reason", Some(&b"invalid_json"[..])));
    assert_eq!((received[1].key(), received[1].payload()), (None, Some(&b"second"[..])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_too_large_is_a_permanent_error() {
    let (broker, topic) = (broker(), unique("alerts"));
    let producer = TopicProducer::new(&broker.place.config(&topic, "none"), &topic).unwrap();
    let error = producer.send(None, &vec![b'x'; 2_000_000], &[]).await.unwrap_err();
    assert!(error.is_permanent(), "{error}");
    assert!(error.to_string().contains(&topic), "{error}");
}
