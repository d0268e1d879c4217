//! One partition's queue, and the batch that is being filled from it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{BorrowedMessage, Message};
use tracing::{debug, warn};

use super::context::Context;
use super::topic_id::TopicIdRequest;
use super::watermark::log_start;
use crate::event::{PartitionId, ShardId};
use crate::source::{BatchLimits, RawBatch};

/// Records taken from one partition before it is the next one's turn.
const TURN_RECORDS: usize = 1024;

/// A broker that could not say the ID of a topic is asked again after this.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A batch and the number of the ownership under which it was read.
pub(super) struct OwnedBatch {
    pub(super) batch: RawBatch,
    pub(super) ownership: u64,
}

pub(super) struct Lane {
    queue: PartitionQueue<Context>,
    ownership: u64,
    topic_id: TopicId,
    last_offset: Option<i64>,
    filling: Filling,
}

/// Which topic of that name it is: nothing is read until that is known.
enum TopicId {
    Unknown { ask_at: Instant },
    Asked(TopicIdRequest),
    Known(Arc<str>),
}

struct Filling {
    batch: RawBatch,
    /// When the batch must be handed over; counts from its first record.
    due: Instant,
    /// Of the next record, unless there are offsets without one.
    position: Option<i64>,
}

/// What a turn of a lane came to.
pub(super) struct Turn {
    pub(super) records: usize,
    pub(super) bytes: usize,
    /// The offsets begin anew: it is another topic than it was, and another ownership is needed.
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
            topic_id: TopicId::Unknown { ask_at: Instant::now() },
            last_offset: None,
            filling: Filling::new(partition, position),
        }
    }

    pub(super) fn partition(&self) -> &PartitionId {
        &self.filling.batch.partition
    }

    pub(super) fn is_of(&self, message: &BorrowedMessage<'_>) -> bool {
        let partition = self.partition();
        partition.partition == message.partition() && &*partition.topic == message.topic()
    }

    pub(super) fn last_offset(&self) -> Option<i64> {
        self.last_offset
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.filling.batch.size_bytes()
    }

    /// Forgets what was read, which is of a topic that is gone.
    pub(super) fn begin_anew(&mut self, ownership: u64) {
        self.ownership = ownership;
        self.topic_id = TopicId::Unknown { ask_at: Instant::now() };
        self.last_offset = None;
        self.filling = Filling::new(self.partition().clone(), None);
    }

    /// Sees to it that the ID of the topic is known sooner or later.
    fn identify(&mut self, consumer: &Arc<BaseConsumer<Context>>) -> bool {
        let now = Instant::now();
        match &self.topic_id {
            TopicId::Known(_) => return true,
            TopicId::Unknown { ask_at } if *ask_at > now => {}
            TopicId::Unknown { .. } => {
                match TopicIdRequest::send(consumer, &self.partition().topic) {
                    Ok(request) => self.topic_id = TopicId::Asked(request),
                    Err(error) => self.ask_again(&error),
                }
            }
            TopicId::Asked(request) => match request.answer() {
                None => {}
                Some(Ok(id)) => self.topic_id = TopicId::Known(id),
                Some(Err(RDKafkaErrorCode::UnsupportedFeature)) => {
                    self.topic_id = TopicId::Known("".into());
                }
                Some(Err(error)) => self.ask_again(&error),
            },
        }
        matches!(self.topic_id, TopicId::Known(_))
    }

    fn ask_again(&mut self, error: &dyn std::error::Error) {
        let topic = &*self.partition().topic;
        debug!(topic, %error, "the ID of the topic is not known yet");
        self.topic_id = TopicId::Unknown { ask_at: Instant::now() + ASK_AGAIN_AFTER };
    }

    /// Moves records from the queue to the batch until either ends, or `room` bytes are used.
    pub(super) fn take_turn(
        &mut self,
        consumer: &Arc<BaseConsumer<Context>>,
        limits: &BatchLimits,
        room: usize,
    ) -> Turn {
        let mut turn = Turn { records: 0, bytes: 0, is_other_topic: false };
        if !self.identify(consumer) {
            return turn;
        }
        let bytes_before = self.size_bytes();
        while turn.records < TURN_RECORDS
            && turn.bytes < room
            && !limits.are_reached_by(&self.filling.batch)
        {
            // Errors of a partition went to the context's log already.
            let Some(Ok(message)) = self.queue.poll(Duration::ZERO) else { break };
            if self.last_offset.is_some_and(|last| message.offset() <= last) {
                let (partition, offset) = (self.partition(), message.offset());
                warn!(?partition, offset, "offsets begin anew: the topic was made again");
                turn.is_other_topic = true;
                break;
            }
            self.last_offset = Some(message.offset());
            self.filling.push(consumer, &message, limits.interval);
            turn.records += 1;
            turn.bytes = self.filling.batch.size_bytes() - bytes_before;
        }
        turn
    }

    /// A record that came before the partition had its own queue.
    pub(super) fn push_early(
        &mut self,
        consumer: &BaseConsumer<Context>,
        message: &BorrowedMessage<'_>,
        interval: Duration,
    ) {
        self.last_offset = Some(message.offset());
        self.filling.push(consumer, message, interval);
    }

    /// True when the batch must be handed over; one that has records may be sooner.
    pub(super) fn is_due(&self, limits: &BatchLimits, now: Instant) -> bool {
        self.filling.due <= now || limits.are_reached_by(&self.filling.batch)
    }

    pub(super) fn has_records(&self) -> bool {
        matches!(self.topic_id, TopicId::Known(_)) && !self.filling.batch.is_empty()
    }

    pub(super) fn take_batch(&mut self) -> OwnedBatch {
        let empty = RawBatch::new(self.partition().clone());
        let mut batch = std::mem::replace(&mut self.filling.batch, empty);
        if let TopicId::Known(id) = &self.topic_id {
            batch.topic_id = Arc::clone(id);
        }
        OwnedBatch { batch, ownership: self.ownership }
    }
}

/// A producer that sets a record's key partitions by it: by the API key, says the README.
fn shard_of(message: &BorrowedMessage<'_>) -> ShardId {
    match message.key() {
        Some(_) => ShardId::Partition(message.partition()),
        None => ShardId::Shared,
    }
}

impl Filling {
    fn new(partition: PartitionId, position: Option<i64>) -> Self {
        Self { batch: RawBatch::new(partition), due: Instant::now(), position }
    }

    /// A record without a payload (a tombstone) is added empty: decode rejects it by name.
    fn push(
        &mut self,
        consumer: &BaseConsumer<Context>,
        message: &BorrowedMessage<'_>,
        interval: Duration,
    ) {
        if self.batch.is_empty() {
            self.batch.covers_from = self.covers_from(consumer, message.offset());
            self.due = Instant::now() + interval;
            self.batch.shard = shard_of(message);
        }
        self.batch.push(message.offset(), message.payload().unwrap_or_default());
        self.position = Some(message.offset() + 1);
    }

    /// When the log begins before the offset that was wanted, what is not there never was.
    fn covers_from(&self, consumer: &BaseConsumer<Context>, first: i64) -> Option<i64> {
        let position = self.position?;
        let begin = || log_start(consumer, &self.batch.partition);
        let is_whole = first == position || begin().is_some_and(|begin| begin <= position);
        is_whole.then_some(position)
    }
}
