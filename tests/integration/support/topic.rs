//! Fills topics with traffic and reads their contents.

use std::time::Duration;

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::eventually::{LIMIT, eventually_blocking};
use super::kafka::{Broker, unique};
use super::traffic::{PARTITIONS, Traffic};

/// Creates a topic that holds `traffic`.
pub async fn topic_of(broker: &Broker, traffic: &Traffic) -> String {
    let topic = unique("access");
    broker.create_topic(&topic, PARTITIONS).await;
    produce(broker, &topic, traffic);
    topic
}

/// Produces as the README requires: partitioned by key.
pub fn produce(broker: &Broker, topic: &str, traffic: &Traffic) {
    for partition in 0..PARTITIONS {
        broker.produce_keyed(topic, partition, traffic.keyed_of_partition(partition));
    }
}

/// A message read from a topic.
pub struct Record {
    pub payload: Vec<u8>,
    pub headers: Vec<(String, String)>,
}

impl Record {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().into_iter().flat_map(Headers::iter).map(|header| {
            let value = String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned();
            (header.key.to_owned(), value)
        });
        let payload = message.payload().unwrap_or_default().to_vec();
        Self { payload, headers: headers.collect() }
    }
}

/// All messages of a topic with one partition, once there are `wanted`.
pub fn records(broker: &Broker, topic: &str, wanted: usize) -> Vec<Record> {
    eventually_blocking(&format!("{wanted} records in {topic}"), LIMIT, || {
        let records = records_now(broker, topic, 0);
        let count = records.len();
        (count >= wanted).then_some(records).ok_or(count)
    })
}

/// All payloads that a partition holds now.
pub fn payloads(broker: &Broker, topic: &str, partition: i32) -> Vec<Vec<u8>> {
    records_now(broker, topic, partition).into_iter().map(|record| record.payload).collect()
}

fn records_now(broker: &Broker, topic: &str, partition: i32) -> Vec<Record> {
    let consumer: BaseConsumer = broker
        .client()
        .set("group.id", unique("reader-of-all"))
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let (_, end) = consumer.fetch_watermarks(topic, partition, Duration::from_secs(10)).unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let mut records = Vec::new();
    let mut next = 0;
    while next < end {
        let message = match consumer.poll(Duration::from_secs(30)) {
            Some(Ok(message)) => message,
            // The end of a transaction takes an offset without a record.
            Some(Err(KafkaError::PartitionEOF(_))) => break,
            other => panic!("{next} of {end} messages in {topic}: {other:?}"),
        };
        next = message.offset() + 1;
        records.push(Record::of(&message));
    }
    records
}
