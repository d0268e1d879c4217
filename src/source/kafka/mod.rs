//! Reads Kafka topics as a member of a consumer group.
//!
//! Offsets are stored only when a batch is committed. librdkafka sends the stored offsets to the
//! broker every second, when a partition is revoked, and at the end. After a crash, the batches of
//! at most a second are read again.

mod assignment;
mod context;
mod history;
mod lane;
mod reader;
mod repartition;
mod sample;
mod topic_id;
mod topics;
mod watermark;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::{debug, warn};

use self::assignment::Assignment;
use self::context::Context;
use self::history::Records;
use self::lane::OwnedBatch;
use self::reader::Reader;
use self::repartition::Repartition;
pub use self::sample::{TopicSample, sample_topic};
use self::topics::Topics;
use super::{GroupMember, History, Lag, Source, SourceError, count_batch};
use crate::config::KafkaConfig;
use crate::event::PartitionId;
use crate::kafka::{ConnectionLog, SettingsError, client_config};
use crate::record::{BatchLimits, RawBatch, Rekey};

/// The way of batches from the reading thread to the pipeline.
type Output = mpsc::Sender<Result<OwnedBatch, SourceError>>;

/// Batches that wait between the reading thread and the pipeline.
const QUEUED_BATCHES: usize = 2;

const DEFAULTS: [(&str, &str); 9] = [
    ("auto.offset.reset", "earliest"),
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("auto.commit.interval.ms", "1000"),
    ("statistics.interval.ms", "1000"),
    // The amount that librdkafka fetches ahead for one partition.
    ("queued.max.messages.kbytes", "16384"),
    // librdkafka reconnects soon after a restart of a broker or an interruption of the network.
    ("reconnect.backoff.max.ms", "2000"),
    // librdkafka checks a full queue again after this time; its default is a second.
    ("fetch.queue.backoff.ms", "20"),
    // The partitions of a killed process go to another one, or to itself after a restart, after this
    // time; the default is 45 s. A process that was only paused for so long stores nothing twice.
    ("session.timeout.ms", "6000"),
    ("heartbeat.interval.ms", "2000"),
];

const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

/// Exactly-once storage depends on these settings.
const INVARIANTS: [(&str, &str); 2] =
    [("enable.auto.offset.store", "false"), ("isolation.level", "read_committed")];

/// Provides the records of the subscribed topics in batches of one partition each.
///
/// `next` waits while no broker can be reached; this is logged once.
pub struct KafkaSource {
    batches: mpsc::Receiver<Result<OwnedBatch, SourceError>>,
    /// A weak reference: only the reading thread keeps the consumer alive, because dropping it
    /// takes long.
    consumer: Weak<BaseConsumer<Context>>,
    assignment: Arc<Assignment>,
    ended: oneshot::Receiver<()>,
    repartition: Option<Repartition>,
    config: KafkaConfig,
    limits: BatchLimits,
}

impl KafkaSource {
    /// Subscribes, and reads ahead in a separate thread. Does not wait for a broker.
    ///
    /// # Errors
    /// Fails when the settings are not usable.
    pub fn new(config: &KafkaConfig, limits: BatchLimits) -> Result<Self, SourceError> {
        Self::start(config, limits, None)
    }

    /// Does the same as [`Self::new`]. If `repartition_topic` is set, this process also takes part
    /// in writing it.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_repartition(
        config: &KafkaConfig,
        limits: BatchLimits,
        rekey: Rekey,
    ) -> Result<Self, SourceError> {
        Self::start(config, limits, Some(rekey))
    }

    fn start(
        config: &KafkaConfig,
        limits: BatchLimits,
        rekey: Option<Rekey>,
    ) -> Result<Self, SourceError> {
        let (sender, batches) = mpsc::channel(QUEUED_BATCHES);
        let repartition =
            config.repartition_topic.as_ref().zip(rekey).map(|(topic, rekey)| {
                Repartition::start(config, topic, limits, rekey, sender.clone())
            });
        let repartition = repartition.transpose()?;
        let consumer = subscribe(config, &config.group_id, &config.judged_topics(), "true")?;
        let consumer = Arc::new(consumer);
        // Set once, here, and before the first poll, which assigns partitions.
        let _ = consumer.context().separated.set(Arc::downgrade(&consumer));
        let assignment = Arc::clone(&consumer.context().assignment);
        let weak = Arc::downgrade(&consumer);
        let reader = Reader::new(consumer, Topics::new(config)?, limits, sender.clone());
        let ended = spawn("the Kafka reader", sender, || reader.run());
        Ok(Self {
            batches,
            consumer: weak,
            assignment,
            ended,
            repartition,
            config: config.clone(),
            limits,
        })
    }
}

/// Runs `work` in a thread. If it panics, the source ends with an error and not as if there were no
/// more records. The returned receiver resolves when the thread has ended.
fn spawn(
    what: &'static str,
    output: Output,
    work: impl FnOnce() + Send + 'static,
) -> oneshot::Receiver<()> {
    let (end, ended) = oneshot::channel();
    thread::spawn(move || {
        // Nothing that `work` had is used after a panic.
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            // The receiver is gone when the source was dropped.
            let _ = output.blocking_send(Err(SourceError::Panicked { what }));
        }
        // The receiver is gone when the source was dropped without `close`.
        let _ = end.send(());
    });
    ended
}

fn subscribe(
    config: &KafkaConfig,
    group: &str,
    topics: &[&str],
    auto_commit: &str,
) -> Result<BaseConsumer<Context>, SettingsError> {
    if config.topics.is_empty() {
        return Err(SettingsError::Empty("topics"));
    }
    if config.group_id.is_empty() {
        return Err(SettingsError::Empty("group_id"));
    }
    let mut client = client_config(config, &DEFAULTS)?;
    client.set("group.id", group);
    for (property, value) in INVARIANTS {
        client.set(property, value);
    }
    client.set("enable.auto.commit", auto_commit);
    let connection = ConnectionLog::new(config);
    let assignment = Arc::new(Assignment::default());
    let context =
        Context { assignment, connection, lags: Mutex::default(), separated: OnceLock::new() };
    let consumer: BaseConsumer<Context> = client.create_with_context(context)?;
    consumer.subscribe(topics)?;
    Ok(consumer)
}

impl Source for KafkaSource {
    async fn next(&mut self) -> Result<Option<RawBatch>, SourceError> {
        loop {
            let Some(OwnedBatch { mut batch, ownership }) =
                self.batches.recv().await.transpose()?
            else {
                return Ok(None);
            };
            let is_ours = batch.offsets().is_some_and(|(_, last_offset)| {
                self.assignment.hand_out(&batch.partition, ownership, last_offset)
            });
            if is_ours {
                count_batch(&batch);
                batch.ownership = ownership;
                return Ok(Some(batch));
            }
        }
    }

    fn trouble(&self) -> Option<String> {
        let own = self.consumer.upgrade()?.context().connection.trouble();
        own.or_else(|| self.repartition.as_ref()?.trouble())
    }

    fn group(&self) -> Option<&dyn GroupMember> {
        Some(self)
    }

    async fn commit(
        &mut self,
        partition: &PartitionId,
        last_offset: i64,
    ) -> Result<(), SourceError> {
        let Some(consumer) = self.consumer.upgrade() else { return Ok(()) };
        let stored = store_offset(&consumer, partition, last_offset);
        self.assignment.commit(partition, last_offset);
        match stored {
            Err(KafkaError::StoreOffset(RDKafkaErrorCode::State)) => {
                debug!(?partition, last_offset, "committed after the partition was revoked");
                Ok(())
            }
            other => other.map_err(|reason| SourceError::KafkaCommit {
                topic: partition.topic.to_string(),
                partition: partition.partition,
                reason,
            }),
        }
    }

    async fn close(self, within: Duration) -> Result<(), SourceError> {
        drop(self.batches);
        self.assignment.close();
        let ends = async {
            if let Some(repartition) = self.repartition {
                repartition.close().await;
            }
            self.ended.await
        };
        let ended = timeout(within, ends).await;
        ended.map(drop).map_err(|_| SourceError::CloseTimeout {
            what: "the Kafka consumer",
            seconds: within.as_secs_f64(),
        })
    }
}

impl GroupMember for KafkaSource {
    fn history(
        &self,
        partition: &PartitionId,
        offsets: Range<i64>,
    ) -> Result<History, SourceError> {
        let records = Records::new(&self.config, self.limits, partition, offsets)?;
        Ok(records.read())
    }

    fn partition_count(&self) -> Option<usize> {
        let consumer = self.consumer.upgrade()?;
        let counts = self.config.judged_topics().into_iter().map(|topic| {
            match consumer.fetch_metadata(Some(topic), METADATA_TIMEOUT) {
                Ok(metadata) => metadata.topics().first().map(|topic| topic.partitions().len()),
                Err(error) => {
                    warn!(%error, topic, "the number of partitions is unknown so far");
                    None
                }
            }
        });
        counts.flatten().max()
    }

    fn log_end(&self, partition: &PartitionId) -> Option<i64> {
        let PartitionId { topic, partition } = partition;
        let asked = self.consumer.upgrade()?.fetch_watermarks(topic, *partition, METADATA_TIMEOUT);
        asked.map(|(_, end)| end).ok()
    }

    fn owns(&self, number: i32) -> bool {
        self.assignment.owns(number)
    }

    fn take_leaving(&self) -> Vec<PartitionId> {
        self.assignment.take_leaving()
    }

    fn release(&self, partition: &PartitionId) {
        self.assignment.release(partition);
    }

    /// Returns the lags of this member's partitions in the last second.
    fn lags(&self) -> Vec<Lag> {
        let Some(consumer) = self.consumer.upgrade() else { return Vec::new() };
        let mut lags = consumer.context().lags.lock().clone();
        lags.extend(self.repartition.iter().flat_map(Repartition::lags));
        lags
    }

    fn give_up(&self, partition: &PartitionId) {
        self.assignment.give_up(partition);
    }
}

fn store_offset(
    consumer: &BaseConsumer<Context>,
    partition: &PartitionId,
    last_offset: i64,
) -> Result<(), KafkaError> {
    let mut offsets = TopicPartitionList::with_capacity(1);
    let next = Offset::Offset(last_offset + 1);
    offsets.add_partition_offset(&partition.topic, partition.partition, next)?;
    consumer.store_offsets(&offsets)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn refusal(config: &KafkaConfig) -> String {
        let limits = BatchLimits { records: 1, bytes: 1, interval: Duration::ZERO };
        KafkaSource::new(config, limits).err().unwrap().to_string()
    }

    #[test]
    fn unusable_settings_are_named() {
        let no_topics = KafkaConfig { topics: Vec::new(), ..KafkaConfig::default() };
        assert_eq!(refusal(&no_topics), "source.kafka: topics must not be empty");
        let properties = [("fetch.wiat.max.ms".to_owned(), "1".to_owned())].into();
        let unknown = refusal(&KafkaConfig { properties, ..KafkaConfig::default() });
        assert!(unknown.starts_with("source.kafka: properties: `fetch.wiat.max.ms`"), "{unknown}");
    }
}
