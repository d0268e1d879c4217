//! Copies records from topics that are not partitioned by key to one that is, exactly once. The
//! written records and the read offsets are one transaction (KIP-447), and the judging consumers
//! read only committed records. After any failure the stage creates new clients, which continue
//! after the last transaction.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::Output;
use super::assignment::Change;
use super::context::Context;
use crate::config::KafkaConfig;
use crate::event::PartitionId;
use crate::instance::InstanceId;
use crate::kafka::{SettingsError, client_config, log_line};
use crate::record::{BatchLimits, Rekey};
use crate::source::Lag;

/// Suffix of the group that reads the topics; the judging group's id comes before it.
const GROUP_SUFFIX: &str = "-repartition";

const DEFAULTS: [(&str, &str); 6] = [
    // Kafka's Java client partitions in this way.
    ("partitioner", "murmur2_random"),
    ("linger.ms", "5"),
    ("queue.buffering.max.messages", "200000"),
    // Consumers wait for the transaction of a producer that has died, so this is short.
    ("transaction.timeout.ms", "10000"),
    ("message.timeout.ms", "10000"),
    ("reconnect.backoff.max.ms", "2000"),
];

/// Longest single wait; between waits the stage checks whether it must end.
const PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(100);
const QUEUE_PAUSE: Duration = Duration::from_millis(5);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The source's handle to the stage, which ends when the handle is dropped.
pub(super) struct Repartition {
    shared: Arc<Shared>,
    ended: oneshot::Receiver<()>,
}

struct Shared {
    is_ending: AtomicBool,
    consumer: Mutex<Weak<BaseConsumer<Context>>>,
}

struct Stage {
    config: KafkaConfig,
    topic: String,
    limits: BatchLimits,
    rekey: Rekey,
    transactional_id: String,
    shared: Arc<Shared>,
}

/// A record that was read.
struct Taken {
    partition: PartitionId,
    offset: i64,
    payload: Vec<u8>,
}

type Clients = (ThreadedProducer<Quiet>, Arc<BaseConsumer<Context>>);

impl Repartition {
    /// Starts the stage in a separate thread. Does not wait for a broker. `output` gets an error if
    /// the thread panics.
    ///
    /// # Errors
    /// Fails when the settings are not usable.
    pub(super) fn start(
        config: &KafkaConfig,
        topic: &str,
        limits: BatchLimits,
        rekey: Rekey,
        output: Output,
    ) -> Result<Self, SettingsError> {
        let shared =
            Arc::new(Shared { is_ending: AtomicBool::new(false), consumer: Mutex::default() });
        let stage = Stage {
            topic: topic.to_owned(),
            limits,
            rekey,
            transactional_id: transactional_id(config),
            shared: Arc::clone(&shared),
            config: config.clone(),
        };
        let mut clients = Some(stage.clients()?);
        let ended = super::spawn("the repartitioner", output, move || stage.run(&mut clients));
        Ok(Self { shared, ended })
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.shared.consumer()?.context().connection.trouble()
    }

    pub(super) fn lags(&self) -> Vec<Lag> {
        let Some(consumer) = self.shared.consumer() else { return Vec::new() };
        consumer.context().lags.lock().clone()
    }

    /// Returns when the transaction in progress is done and the stage has left the group.
    pub(super) async fn close(mut self) {
        self.shared.is_ending.store(true, Ordering::Relaxed);
        // The stage ends in any case, so the result does not matter.
        let _ = (&mut self.ended).await;
    }
}

impl Shared {
    fn consumer(&self) -> Option<Arc<BaseConsumer<Context>>> {
        self.consumer.lock().upgrade()
    }

    fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }
}

/// Returns the transactional id. A static member keeps its id over restarts, so that the
/// transaction of its previous run is ended at once. Any other process gets a unique id.
fn transactional_id(config: &KafkaConfig) -> String {
    let instance = config.properties.get("group.instance.id").cloned();
    let instance = instance.unwrap_or_else(|| InstanceId::random().to_string());
    format!("{}{GROUP_SUFFIX}-{instance}", config.group_id)
}

impl Stage {
    fn run(&self, clients: &mut Option<Clients>) {
        while !self.shared.is_ending() {
            let outcome = match clients.take() {
                Some(clients) => self.work_with(&clients).map_err(|error| error.to_string()),
                None => match self.clients() {
                    Ok(made) => {
                        *clients = Some(made);
                        continue;
                    }
                    Err(error) => Err(error.to_string()),
                },
            };
            if let Err(error) = outcome {
                warn!(
                    error,
                    "records could not be repartitioned; continuing after the last transaction"
                );
                thread::sleep(PAUSE_AFTER_FAILURE);
            }
        }
    }

    fn clients(&self) -> Result<Clients, SettingsError> {
        let mut producer = client_config(&self.config, &DEFAULTS)?;
        producer.set("transactional.id", &self.transactional_id);
        let producer = producer.create_with_context(Quiet)?;
        let group = format!("{}{GROUP_SUFFIX}", self.config.group_id);
        let topics: Vec<&str> = self.config.topics.iter().map(String::as_str).collect();
        // The consumer is not a static member. A static member that is killed during a rebalance
        // and returns would get its old partitions, and no member would get the rest.
        let mut config = self.config.clone();
        config.properties.remove("group.instance.id");
        // The read offsets are part of the transactions.
        let consumer = super::subscribe(&config, &group, &topics, "false")?;
        let consumer = Arc::new(consumer);
        *self.shared.consumer.lock() = Arc::downgrade(&consumer);
        Ok((producer, consumer))
    }

    /// Works until the end or a failure.
    fn work_with(&self, (producer, consumer): &Clients) -> Result<(), KafkaError> {
        if !self.until_done(|| producer.init_transactions(PATIENCE))? {
            return Ok(());
        }
        info!(topic = self.topic, transactional_id = self.transactional_id, "repartitioning");
        while !self.shared.is_ending() {
            let taken = self.take(consumer)?;
            if taken.is_empty() {
                continue;
            }
            if let Err(error) = self.pass_on(producer, consumer, &taken) {
                // If this fails too, the broker ends the transaction after its time-out.
                let _ = producer.abort_transaction(PATIENCE);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes the records of one transaction. Records of partitions that were revoked meanwhile are
    /// left to their next owner, who begins after the last transaction.
    fn take(&self, consumer: &BaseConsumer<Context>) -> Result<Vec<Taken>, KafkaError> {
        let (mut taken, mut bytes, mut due) = (Vec::new(), 0, None);
        while !self.shared.is_ending()
            && taken.len() < self.limits.records
            && bytes < self.limits.bytes
            && due.is_none_or(|due| Instant::now() < due)
        {
            let wait = due.map_or(POLL, |due| due.saturating_duration_since(Instant::now()));
            let polled = consumer.poll(wait.min(POLL));
            for change in consumer.context().assignment.take_changes() {
                if let Change::Revoked(revoked) = change {
                    taken.retain(|record: &Taken| record.partition != revoked);
                }
            }
            match polled {
                None => {}
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error),
                // The context has logged them.
                Some(Err(_)) => {}
                Some(Ok(message)) => {
                    due.get_or_insert_with(|| Instant::now() + self.limits.interval);
                    let payload = message.payload().unwrap_or_default().to_vec();
                    bytes += payload.len();
                    let partition = PartitionId {
                        topic: message.topic().into(),
                        partition: message.partition(),
                    };
                    taken.push(Taken { partition, offset: message.offset(), payload });
                }
            }
        }
        Ok(taken)
    }

    fn pass_on(
        &self,
        producer: &ThreadedProducer<Quiet>,
        consumer: &BaseConsumer<Context>,
        taken: &[Taken],
    ) -> Result<(), KafkaError> {
        producer.begin_transaction()?;
        let mut ends = HashMap::new();
        for record in taken {
            self.send(producer, record)?;
            ends.insert(&record.partition, record.offset + 1);
        }
        let mut offsets = TopicPartitionList::with_capacity(ends.len());
        for (partition, end) in ends {
            let PartitionId { topic, partition } = partition;
            offsets.add_partition_offset(topic, *partition, Offset::Offset(end))?;
        }
        let member = consumer
            .group_metadata()
            .ok_or(KafkaError::ConsumerCommit(RDKafkaErrorCode::UnknownMemberId))?;
        let is_done = self
            .until_done(|| producer.send_offsets_to_transaction(&offsets, &member, PATIENCE))?
            && self.until_done(|| producer.commit_transaction(PATIENCE))?;
        if is_done {
            // This position is only for the lag; a partition that was just revoked has none.
            let _ = consumer.store_offsets(&offsets);
            return Ok(());
        }
        // The stage ended first: these records are read again.
        producer.abort_transaction(PATIENCE)
    }

    fn send(&self, producer: &ThreadedProducer<Quiet>, taken: &Taken) -> Result<(), KafkaError> {
        let Taken { partition: PartitionId { topic, partition }, offset, payload } = taken;
        let (number, at) = (partition.to_string(), offset.to_string());
        for record in (self.rekey)(&format!("{number}-{at}"), payload) {
            let headers = [("topic", &**topic), ("partition", &number), ("offset", &at)];
            let headers = headers.into_iter().fold(OwnedHeaders::new(), |all, (name, value)| {
                let name = format!("keywatch-{name}");
                all.insert(Header { key: &name, value: Some(value) })
            });
            let mut next = BaseRecord::to(&self.topic)
                .key(&record.key)
                .payload(&record.payload)
                .headers(headers);
            while let Err((error, unsent)) = producer.send(next) {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(error);
                }
                thread::sleep(QUEUE_PAUSE);
                next = unsent;
            }
        }
        Ok(())
    }

    /// Repeats a call while its error allows it; returns false when the stage ends first.
    fn until_done(
        &self,
        mut operation: impl FnMut() -> Result<(), KafkaError>,
    ) -> Result<bool, KafkaError> {
        loop {
            match operation() {
                Ok(()) => return Ok(true),
                Err(KafkaError::Transaction(error)) if error.is_retriable() => {
                    if self.shared.is_ending() {
                        return Ok(false);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Repartition {
    fn drop(&mut self) {
        self.shared.is_ending.store(true, Ordering::Relaxed);
    }
}

/// A record that is not delivered fails its transaction, which reports the error.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }
}

impl ProducerContext for Quiet {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): Self::DeliveryOpaque) {}
}
