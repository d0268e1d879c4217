//! Reads the latest records of a topic for an examination.
//!
//! It uses a separate consumer outside of the group: no offset is committed, and no partition moves.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::history::is_passing;
use crate::config::KafkaConfig;
use crate::event::PartitionId;
use crate::kafka::{SettingsError, client_config};
use crate::record::RawBatch;
use crate::source::SourceError;

/// A batch is cut here, so that its events need little memory.
const BATCH_RECORDS: usize = 10_000;
const POLL: Duration = Duration::from_millis(100);
/// A broker that is silent for so long is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// The latest records of a topic.
#[derive(Debug)]
pub struct TopicSample {
    /// In order within each partition.
    pub batches: Vec<RawBatch>,
    pub partitions: usize,
    /// Records without a Kafka key that are not tombstones.
    pub unkeyed: u64,
    /// Records without a payload. They are in no batch.
    pub tombstones: u64,
    /// Every record of the topic was read.
    pub is_whole: bool,
}

/// Reads about the last `records` records of a topic, but no more than about `bytes`. All
/// partitions have the same share. Blocks the thread.
///
/// # Errors
/// The settings are not usable, there is no such topic, or the brokers do not answer.
pub fn sample_topic(
    config: &KafkaConfig,
    topic: &str,
    records: usize,
    bytes: usize,
) -> Result<TopicSample, SourceError> {
    let consumer = consumer(config)?;
    let partitions = partitions(&consumer, topic)?;
    let share = |total: usize| (total / partitions.len()).max(1);
    let mut reader = Reader {
        consumer,
        topic,
        records: share(records),
        bytes: share(bytes),
        sample: TopicSample {
            batches: Vec::new(),
            partitions: partitions.len(),
            unkeyed: 0,
            tombstones: 0,
            is_whole: true,
        },
    };
    partitions.into_iter().try_for_each(|partition| reader.read(partition))?;
    Ok(reader.sample)
}

fn consumer(config: &KafkaConfig) -> Result<BaseConsumer, SettingsError> {
    let mut client = client_config(config, &[("auto.offset.reset", "earliest")])?;
    // The group's name alone: partitions are assigned here, so that it is not joined.
    client.set("group.id", &config.group_id);
    client.set("enable.auto.commit", "false");
    client.set("enable.auto.offset.store", "false");
    client.set("enable.partition.eof", "true");
    client.set("isolation.level", "read_committed");
    Ok(client.create()?)
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<Vec<i32>, SourceError> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).map_err(SourceError::Kafka)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let partitions = found.into_iter().flat_map(|found| found.partitions());
    let partitions: Vec<i32> = partitions.map(|partition| partition.id()).collect();
    if partitions.is_empty() {
        return Err(SourceError::NoTopic { topic: topic.to_owned() });
    }
    Ok(partitions)
}

struct Reader<'a> {
    consumer: BaseConsumer,
    topic: &'a str,
    /// The most records and bytes of one partition.
    records: usize,
    bytes: usize,
    sample: TopicSample,
}

impl Reader<'_> {
    fn read(&mut self, partition: i32) -> Result<(), SourceError> {
        let kafka = SourceError::Kafka;
        let watermarks = self.consumer.fetch_watermarks(self.topic, partition, PATIENCE);
        let (lowest, end) = watermarks.map_err(kafka)?;
        let most = i64::try_from(self.records).unwrap_or(i64::MAX);
        let start = lowest.max(end.saturating_sub(most));
        self.sample.is_whole &= start == lowest;
        if start >= end {
            return Ok(());
        }
        let mut assignment = TopicPartitionList::with_capacity(1);
        let from = assignment.add_partition_offset(self.topic, partition, Offset::Offset(start));
        from.and_then(|()| self.consumer.assign(&assignment)).map_err(kafka)?;
        self.read_up_to(end, &PartitionId { topic: self.topic.into(), partition })
    }

    /// Reads the assigned partition. `end` is the first offset that is not wanted.
    fn read_up_to(&mut self, end: i64, partition: &PartitionId) -> Result<(), SourceError> {
        let mut heard = Instant::now();
        let mut bytes = 0;
        while bytes < self.bytes {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) if message.offset() >= end => return Ok(()),
                Some(Ok(message)) => {
                    heard = Instant::now();
                    bytes += message.payload().map_or(0, <[u8]>::len);
                    self.sample.add(partition, &message);
                    if message.offset() + 1 >= end {
                        return Ok(());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) if !is_passing(&error) => return Err(SourceError::Kafka(error)),
                None | Some(Err(_)) if heard.elapsed() < PATIENCE => {}
                None | Some(Err(_)) => {
                    let topic = self.topic.to_owned();
                    return Err(SourceError::Silent { topic, seconds: PATIENCE.as_secs() });
                }
            }
        }
        self.sample.is_whole = false;
        Ok(())
    }
}

impl TopicSample {
    fn add(&mut self, partition: &PartitionId, message: &BorrowedMessage<'_>) {
        let Some(payload) = message.payload() else {
            self.tombstones += 1;
            return;
        };
        self.unkeyed += u64::from(message.key().is_none());
        let is_open =
            |batch: &RawBatch| batch.partition == *partition && batch.len() < BATCH_RECORDS;
        if !self.batches.last().is_some_and(is_open) {
            self.batches.push(RawBatch::new(partition.clone()));
        }
        if let Some(batch) = self.batches.last_mut() {
            batch.push(message.offset(), payload);
        }
    }
}
