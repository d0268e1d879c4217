//! Reads earlier records of a partition again.
//!
//! It uses a separate consumer outside of the group: the group's offsets and assignment do not
//! change.

use std::ops::Range;
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::mpsc;
use tracing::warn;

use crate::config::KafkaConfig;
use crate::event::PartitionId;
use crate::kafka::{SettingsError, client_config};
use crate::record::{BatchLimits, RawBatch};
use crate::source::{History, SourceError};

/// Pause after a question that failed: librdkafka may answer at once.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(100);
const WATERMARK_TIMEOUT: Duration = Duration::from_secs(10);

type Sender = mpsc::Sender<Result<RawBatch, SourceError>>;

/// The records' place and the limits of their batches.
pub(super) struct Records {
    consumer: BaseConsumer,
    partition: PartitionId,
    offsets: Range<i64>,
    limits: BatchLimits,
}

impl Records {
    pub(super) fn new(
        config: &KafkaConfig,
        limits: BatchLimits,
        partition: &PartitionId,
        offsets: Range<i64>,
    ) -> Result<Self, SettingsError> {
        let mut client = client_config(config, &[("auto.offset.reset", "error")])?;
        client.set("group.id", &config.group_id);
        client.set("enable.auto.commit", "false");
        client.set("enable.partition.eof", "false");
        client.set("isolation.level", "read_committed");
        let consumer = client.create()?;
        Ok(Self { consumer, partition: partition.clone(), offsets, limits })
    }

    /// Reads the records that Kafka still has, in a separate thread, and returns their batches.
    /// Waits while no broker can be reached.
    pub(super) fn read(self) -> History {
        let (sender, receiver) = mpsc::channel(1);
        thread::spawn(move || {
            if let Err(error) = self.send_all(&sender) {
                // The receiver is dropped when the service ends.
                let _ = sender.blocking_send(Err(SourceError::Kafka(error)));
            }
        });
        receiver
    }

    fn send_all(&self, sender: &Sender) -> Result<(), KafkaError> {
        let Some(offsets) = self.still_there(sender) else { return Ok(()) };
        let PartitionId { topic, partition } = &self.partition;
        let mut assignment = TopicPartitionList::with_capacity(1);
        assignment.add_partition_offset(topic, *partition, Offset::Offset(offsets.start))?;
        self.consumer.assign(&assignment)?;
        let empty = || RawBatch::new(self.partition.clone());
        let (mut batch, mut next) = (empty(), offsets.start);
        while next < offsets.end && !sender.is_closed() {
            let message = match self.consumer.poll(POLL) {
                None => continue,
                Some(Ok(message)) => message,
                Some(Err(error)) if is_passing(&error) => continue,
                Some(Err(error)) => return Err(error),
            };
            next = message.offset() + 1;
            if next > offsets.end {
                break;
            }
            batch.push(message.offset(), message.payload().unwrap_or_default());
            if self.limits.are_reached_by(&batch) {
                let _ = sender.blocking_send(Ok(std::mem::replace(&mut batch, empty())));
            }
        }
        if !batch.is_empty() {
            let _ = sender.blocking_send(Ok(batch));
        }
        Ok(())
    }

    /// Returns the wanted offsets that Kafka still has; `None` when the receiver was dropped.
    fn still_there(&self, sender: &Sender) -> Option<Range<i64>> {
        let PartitionId { topic, partition } = &self.partition;
        let (lowest, end) = loop {
            match self.consumer.fetch_watermarks(topic, *partition, WATERMARK_TIMEOUT) {
                Ok(watermarks) => break watermarks,
                Err(_) if sender.is_closed() => return None,
                Err(error) => {
                    warn!(%error, "waiting for Kafka to read records again");
                    thread::sleep(BETWEEN_QUESTIONS);
                }
            }
        };
        let Range { start, end: wanted } = self.offsets;
        if lowest > start {
            let (topic, to) = (&**topic, lowest - 1);
            warn!(
                topic,
                partition,
                from = start,
                to,
                "Kafka has deleted these records: the state continues without them"
            );
        }
        Some(start.max(lowest)..wanted.min(end))
    }
}

/// Whether librdkafka itself retries after this error.
pub(super) fn is_passing(error: &KafkaError) -> bool {
    match error {
        KafkaError::MessageConsumptionFatal(_) => false,
        KafkaError::MessageConsumption(code) => *code != RDKafkaErrorCode::AutoOffsetReset,
        _ => true,
    }
}
