//! The thread that polls librdkafka and cuts batches.
//!
//! Each partition has a queue of its own, so that records are taken only when
//! there is room for them, while rebalances and errors, which come through the
//! consumer's queue, are always served.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use tokio::sync::mpsc;

use super::assignment::Change;
use super::context::Context;
use crate::event::{PartitionId, ShardId};
use crate::source::{BatchLimits, RawBatch, SourceError};

/// How long the thread sleeps in the consumer's queue when there are no records
/// or no room for them.
const IDLE_POLL: Duration = Duration::from_millis(5);

/// Records taken from one partition before it is the next one's turn.
const TURN_RECORDS: usize = 1024;

/// A batch and the number of the ownership under which it was read.
pub(super) struct OwnedBatch {
    pub(super) batch: RawBatch,
    pub(super) ownership: u64,
}

/// One partition's queue and the batch that is being filled from it.
struct Lane {
    queue: PartitionQueue<Context>,
    ownership: u64,
    filling: Filling,
}

struct Filling {
    batch: RawBatch,
    /// When the batch must be handed over; counts from its first record.
    due: Instant,
}

pub(super) struct Reader {
    consumer: Arc<BaseConsumer<Context>>,
    limits: BatchLimits,
    output: mpsc::Sender<Result<OwnedBatch, SourceError>>,
    lanes: Vec<Lane>,
    /// Index of the lane whose turn it is; may lie behind the last one.
    turn: usize,
}

impl Reader {
    pub(super) fn new(
        consumer: Arc<BaseConsumer<Context>>,
        limits: BatchLimits,
        output: mpsc::Sender<Result<OwnedBatch, SourceError>>,
    ) -> Self {
        Self { consumer, limits, output, lanes: Vec::new(), turn: 0 }
    }

    /// Runs until nobody takes the batches any more, or the client is beyond repair.
    /// Leaves the group in order: dropping the consumer commits and says goodbye.
    pub(super) fn run(mut self) {
        let mut is_idle = false;
        while !self.output.is_closed() {
            let wait = if is_idle { IDLE_POLL } else { Duration::ZERO };
            if let Err(error) = self.poll_consumer(wait) {
                // A full queue has room again, or is closed, sooner or later.
                let _ = self.output.blocking_send(Err(SourceError::Kafka(error)));
                break;
            }
            let taken = self.take_records();
            self.hand_over();
            is_idle = taken == 0;
        }
        self.consumer.context().assignment.close();
    }

    /// Serves events. Other than fatal errors went to the context's log already.
    fn poll_consumer(&mut self, wait: Duration) -> Result<(), KafkaError> {
        let consumer = Arc::clone(&self.consumer);
        let polled = consumer.poll(wait);
        self.follow_assignment();
        match polled {
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => Err(error),
            // Read before the partition had its own queue.
            Some(Ok(message)) => {
                if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.is_of(&message)) {
                    lane.filling.push(&message, self.limits.interval);
                }
                Ok(())
            }
            Some(Err(_)) | None => Ok(()),
        }
    }

    fn follow_assignment(&mut self) {
        for change in self.consumer.context().assignment.take_changes() {
            match change {
                Change::Assigned(partition, ownership) => self.open_lane(partition, ownership),
                Change::Revoked(partition) => {
                    self.lanes.retain(|lane| *lane.partition() != partition);
                }
            }
        }
    }

    fn open_lane(&mut self, partition: PartitionId, ownership: u64) {
        let queue = self.consumer.split_partition_queue(&partition.topic, partition.partition);
        // Only a topic name with a zero byte has no queue, and no broker has such a topic.
        let Some(queue) = queue else { return };
        let filling = Filling { batch: RawBatch::new(partition), due: Instant::now() };
        self.lanes.push(Lane { queue, ownership, filling });
    }

    fn bytes_in_the_making(&self) -> usize {
        self.lanes.iter().map(|lane| lane.filling.batch.size_bytes()).sum()
    }

    /// Takes a turn's records from each partition, within the bound of all; returns how many.
    /// Begins with the one whose turn it is, so that large records of another do not starve it.
    fn take_records(&mut self) -> usize {
        let mut room = self.limits.bytes.saturating_sub(self.bytes_in_the_making());
        let mut taken = 0;
        let turn = self.turn.min(self.lanes.len());
        let (before, from_turn) = self.lanes.split_at_mut(turn);
        for lane in from_turn.iter_mut().chain(before) {
            let (records, bytes) = lane.take_turn(&self.limits, room);
            taken += records;
            room = room.saturating_sub(bytes);
        }
        taken
    }

    /// Hands over what is due, beginning with the partition whose turn it is, while there is room.
    fn hand_over(&mut self) {
        let is_crowded = self.bytes_in_the_making() >= self.limits.bytes;
        let now = Instant::now();
        let (first, count) = (self.turn, self.lanes.len());
        for index in (first..first + count).map(|index| index % count) {
            let lane = &mut self.lanes[index];
            let is_due = is_crowded || lane.filling.is_due(&self.limits, now);
            if lane.filling.batch.is_empty() || !is_due {
                continue;
            }
            let Ok(slot) = self.output.try_reserve() else { return };
            slot.send(Ok(lane.take_batch()));
            self.turn = index + 1;
        }
    }
}

impl Lane {
    fn partition(&self) -> &PartitionId {
        &self.filling.batch.partition
    }

    fn is_of(&self, message: &BorrowedMessage<'_>) -> bool {
        let partition = self.partition();
        partition.partition == message.partition() && &*partition.topic == message.topic()
    }

    /// Moves records from the queue to the batch until either ends, or `room` bytes
    /// are used; returns the numbers of records and bytes.
    fn take_turn(&mut self, limits: &BatchLimits, room: usize) -> (usize, usize) {
        let bytes_before = self.filling.batch.size_bytes();
        let mut records = 0;
        let mut bytes = 0;
        while records < TURN_RECORDS && bytes < room && !limits.are_reached_by(&self.filling.batch)
        {
            // Errors of a partition went to the context's log already.
            let Some(Ok(message)) = self.queue.poll(Duration::ZERO) else { break };
            self.filling.push(&message, limits.interval);
            records += 1;
            bytes = self.filling.batch.size_bytes() - bytes_before;
        }
        (records, bytes)
    }

    fn take_batch(&mut self) -> OwnedBatch {
        let empty = RawBatch::new(self.partition().clone());
        let batch = std::mem::replace(&mut self.filling.batch, empty);
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
    /// A record without a payload (a tombstone) is added empty: decode rejects it by name.
    fn push(&mut self, message: &BorrowedMessage<'_>, interval: Duration) {
        if self.batch.is_empty() {
            self.due = Instant::now() + interval;
            self.batch.shard = shard_of(message);
        }
        self.batch.push(message.offset(), message.payload().unwrap_or_default());
    }

    fn is_due(&self, limits: &BatchLimits, now: Instant) -> bool {
        self.due <= now || limits.are_reached_by(&self.batch)
    }
}
