//! Reads one partition's queue and fills the partition's next batch from it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::message::{BorrowedMessage, Message};

use super::context::Context;
use super::topics::Topics;
use super::watermark::{log_end, log_start};
use crate::event::{PartitionId, ShardId};
use crate::record::{BatchLimits, RawBatch};

/// Records taken from one partition in its turn.
const TURN_RECORDS: usize = 1024;

/// When no topic ID has arrived for so long, batches are passed on unconfirmed.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(5);

/// While a whole batch of records waits in the log, a batch is filled for so many times its interval.
/// These records are late already, and a large batch is stored with less work for each of them.
const PATIENCE_BEHIND: u32 = 5;

/// A batch and the number of the ownership under which it was read.
pub(super) struct OwnedBatch {
    pub(super) batch: RawBatch,
    pub(super) ownership: u64,
}

pub(super) struct Lane {
    queue: PartitionQueue<Context>,
    ownership: u64,
    /// The topic's ID. No record is read until it is known.
    topic_id: Option<Arc<str>>,
    /// The topic's ID before the lane began anew.
    earlier_id: Option<Arc<str>>,
    begun: Instant,
    /// When the batch became due. It takes no further record.
    closed: Option<Instant>,
    last_offset: Option<i64>,
    filling: Filling,
}

/// Whether the topic is still the one that the lane began to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    Unknown,
    Same,
    /// The topic was deleted and created again.
    Other,
}

struct Filling {
    batch: RawBatch,
    /// When its first record was read.
    begun: Instant,
    /// The lowest offset that the next record can have.
    position: Option<i64>,
}

/// The result of a lane's turn.
pub(super) struct Turn {
    pub(super) records: usize,
    pub(super) bytes: usize,
    /// The topic was deleted and created again: a new ownership is needed.
    pub(super) is_other_topic: bool,
}

impl Lane {
    pub(super) fn new(
        queue: PartitionQueue<Context>,
        partition: PartitionId,
        ownership: u64,
        position: Option<i64>,
    ) -> Self {
        Self {
            queue,
            ownership,
            topic_id: None,
            earlier_id: None,
            begun: Instant::now(),
            closed: None,
            last_offset: None,
            filling: Filling::new(partition, position),
        }
    }

    pub(super) fn partition(&self) -> &PartitionId {
        &self.filling.batch.partition
    }

    pub(super) fn last_offset(&self) -> Option<i64> {
        self.last_offset
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.filling.batch.size_bytes()
    }

    /// Drops the records that were read, because their topic was deleted or lost them.
    pub(super) fn begin_anew(&mut self, ownership: u64) {
        self.ownership = ownership;
        self.earlier_id = self.topic_id.take();
        self.begun = Instant::now();
        self.closed = None;
        self.last_offset = None;
        self.filling = Filling::new(self.partition().clone(), None);
    }

    /// Compares the topic's ID, as it was asked for at or after `since`, with the one under which
    /// the lane began to read.
    fn identify(&mut self, topics: &mut Topics, since: Instant) -> Identity {
        let now = topics.id(&self.filling.batch.partition.topic, since);
        match (&self.topic_id, now) {
            (_, None) => return Identity::Unknown,
            // A broker that learns IDs while it is upgraded has the same topic.
            (Some(id), Some(now)) if ![id, &now].iter().any(|id| id.is_empty()) && *id != now => {
                return Identity::Other;
            }
            (Some(_), Some(_)) => {}
            (None, now) => self.topic_id = now,
        }
        Identity::Same
    }

    /// Closes the batch and asks whether its records are of the topic under whose ID they are about
    /// to be stored. Brokers that do not answer hold alerts up for a limited time only.
    pub(super) fn confirm(&mut self, topics: &mut Topics, now: Instant) -> Identity {
        let closed = *self.closed.get_or_insert(now);
        let identity = self.identify(topics, closed);
        let topic = &self.filling.batch.partition.topic;
        match identity {
            Identity::Unknown if topics.silence(topic, now) >= CONFIRM_PATIENCE => {
                counter!("keywatch_unconfirmed_batches_total").increment(1);
                Identity::Same
            }
            identity => identity,
        }
    }

    /// Moves records from the queue to the batch until either ends, or `room` bytes are used.
    pub(super) fn take_turn(
        &mut self,
        topics: &mut Topics,
        consumer: &BaseConsumer<Context>,
        limits: &BatchLimits,
        room: usize,
    ) -> Turn {
        let mut turn = Turn { records: 0, bytes: 0, is_other_topic: false };
        if self.closed.is_some() {
            return turn;
        }
        turn.is_other_topic = self.identify(topics, self.begun) == Identity::Other;
        if turn.is_other_topic || self.topic_id.is_none() {
            return turn;
        }
        let bytes_before = self.size_bytes();
        while turn.records < TURN_RECORDS
            && turn.bytes < room
            && !limits.are_reached_by(&self.filling.batch)
        {
            // The context has logged errors of a partition already.
            let Some(Ok(message)) = self.queue.poll(Duration::ZERO) else { break };
            if self.last_offset.is_some_and(|last| message.offset() <= last) {
                // The offsets restart.
                turn.is_other_topic = true;
                break;
            }
            self.last_offset = Some(message.offset());
            self.filling.push(consumer, &message);
            turn.records += 1;
            turn.bytes = self.filling.batch.size_bytes() - bytes_before;
        }
        turn
    }

    /// Returns true when the batch must be passed on. A batch that has records may be passed on
    /// earlier.
    pub(super) fn is_due(
        &self,
        consumer: &BaseConsumer<Context>,
        limits: &BatchLimits,
        now: Instant,
    ) -> bool {
        let is_late_by = |intervals: u32| self.filling.begun + limits.interval * intervals <= now;
        self.closed.is_some()
            || limits.are_reached_by(&self.filling.batch)
            || is_late_by(PATIENCE_BEHIND)
            || (is_late_by(1) && !self.is_far_behind(consumer, limits))
    }

    /// Whether the log holds enough records to fill the batch.
    fn is_far_behind(&self, consumer: &BaseConsumer<Context>, limits: &BatchLimits) -> bool {
        let Some(next) = self.filling.position else { return false };
        let missing = limits.records.saturating_sub(self.filling.batch.len());
        log_end(consumer, self.partition()).is_some_and(|end| end - next >= missing as i64)
    }

    pub(super) fn has_records(&self) -> bool {
        !self.filling.batch.is_empty()
    }

    pub(super) fn take_batch(&mut self, consumer: &BaseConsumer<Context>) -> OwnedBatch {
        self.closed = None;
        let empty = self.filling.batch.emptied();
        let mut batch = std::mem::replace(&mut self.filling.batch, empty);
        // A batch with records has an ID: none is read without.
        if let Some(id) = &self.topic_id {
            batch.topic_id = Arc::clone(id);
            // A topic that was created again has another ID.
            batch.offsets_fell = !id.is_empty() && self.earlier_id.as_ref() == Some(id);
        }
        batch.log_end = log_end(consumer, self.partition());
        OwnedBatch { batch, ownership: self.ownership }
    }
}

impl Filling {
    fn new(partition: PartitionId, position: Option<i64>) -> Self {
        let mut batch = RawBatch::new(partition);
        // A record without a key must not lead to another state than the rest of its partition.
        batch.shard = ShardId::Partition(batch.partition.partition);
        Self { batch, begun: Instant::now(), position }
    }

    /// Adds a record. One without a payload (a tombstone) is added empty: the decoder rejects it
    /// with a reason.
    fn push(&mut self, consumer: &BaseConsumer<Context>, message: &BorrowedMessage<'_>) {
        if self.batch.is_empty() {
            self.batch.covers_from = self.covers_from(consumer, message.offset());
            self.begun = Instant::now();
        }
        self.batch.has_unkeyed |= message.key().is_none() && message.payload().is_some();
        self.batch.push(message.offset(), message.payload().unwrap_or_default());
        self.position = Some(message.offset() + 1);
    }

    /// If the log starts at or before the expected offset, the missing offsets never held a record
    /// or compaction removed it (transaction markers, compaction).
    fn covers_from(&self, consumer: &BaseConsumer<Context>, first: i64) -> Option<i64> {
        let position = self.position?;
        let begin = || log_start(consumer, &self.batch.partition);
        let is_whole = first == position || begin().is_some_and(|begin| begin <= position);
        is_whole.then_some(position)
    }
}
