//! The thread that polls librdkafka and cuts batches.
//!
//! Each partition has a queue of its own, so that records are taken only when
//! there is room for them, while rebalances and errors, which come through the
//! consumer's queue, are always served.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use tokio::sync::mpsc;
use tracing::{debug, error};

use super::assignment::Change;
use super::context::Context;
use super::lane::{Lane, OwnedBatch};
use crate::event::PartitionId;
use crate::source::{BatchLimits, SourceError};

/// How long the thread sleeps in the consumer's queue when there are no records
/// or no room for them.
const IDLE_POLL: Duration = Duration::from_millis(5);

/// The coordinator has just been spoken to. Without an answer, offsets without records before
/// the first one look like a gap.
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(2);

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
                    lane.push_early(&self.consumer, &message, self.limits.interval);
                }
                Ok(())
            }
            Some(Err(_)) | None => Ok(()),
        }
    }

    fn follow_assignment(&mut self) {
        let changes = self.consumer.context().assignment.take_changes();
        let positions = committed(&self.consumer, &changes);
        for change in changes {
            match change {
                Change::Assigned(partition, ownership) => {
                    let position = positions.get(&partition).copied();
                    self.open_lane(partition, ownership, position);
                }
                Change::Revoked(partition) => {
                    self.lanes.retain(|lane| *lane.partition() != partition);
                }
            }
        }
    }

    fn open_lane(&mut self, partition: PartitionId, ownership: u64, position: Option<i64>) {
        let queue = self.consumer.split_partition_queue(&partition.topic, partition.partition);
        // Only a topic name with a zero byte has no queue, and no broker has such a topic.
        let Some(queue) = queue else { return };
        self.lanes.push(Lane::new(queue, partition, ownership, position));
    }

    fn bytes_in_the_making(&self) -> usize {
        self.lanes.iter().map(Lane::size_bytes).sum()
    }

    /// Takes a turn's records from each partition, within the bound of all; returns how many.
    /// Begins with the one whose turn it is, so that large records of another do not starve it.
    fn take_records(&mut self) -> usize {
        let mut room = self.limits.bytes.saturating_sub(self.bytes_in_the_making());
        let mut taken = 0;
        let turn = self.turn.min(self.lanes.len());
        let (before, from_turn) = self.lanes.split_at_mut(turn);
        for lane in from_turn.iter_mut().chain(before) {
            let turn = lane.take_turn(&self.consumer, &self.limits, room);
            taken += turn.records;
            room = room.saturating_sub(turn.bytes);
            let assignment = &self.consumer.context().assignment;
            if let Some(last_offset) = lane.last_offset().filter(|_| turn.records > 0) {
                assignment.note_taken(lane.partition(), last_offset);
            }
            if turn.is_other_topic
                && let Some(ownership) = assignment.renew(lane.partition())
            {
                lane.begin_anew(ownership);
                rewind(&self.consumer, lane.partition());
            }
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
            let is_due = is_crowded || lane.is_due(&self.limits, now);
            if !lane.has_records() || !is_due {
                continue;
            }
            let Ok(slot) = self.output.try_reserve() else { return };
            slot.send(Ok(lane.take_batch()));
            self.turn = index + 1;
        }
    }
}

/// Where the group goes on with assigned partitions; those where it begins are left out.
fn committed(consumer: &BaseConsumer<Context>, changes: &[Change]) -> HashMap<PartitionId, i64> {
    let mut list = TopicPartitionList::new();
    for change in changes {
        if let Change::Assigned(PartitionId { topic, partition }, _) = change {
            list.add_partition(topic, *partition);
        }
    }
    if list.count() == 0 {
        return HashMap::new();
    }
    let list = consumer.committed_offsets(list, COMMITTED_TIMEOUT).unwrap_or_else(|error| {
        debug!(%error, "where the group goes on is not known");
        TopicPartitionList::new()
    });
    let offset = |element: &TopicPartitionListElem<'_>| {
        let Offset::Offset(offset) = element.offset() else { return None };
        let partition =
            PartitionId { topic: element.topic().into(), partition: element.partition() };
        Some((partition, offset))
    };
    list.elements().iter().filter_map(offset).collect()
}

/// The record that showed the new topic is read again, and what may stand before it.
fn rewind(consumer: &BaseConsumer<Context>, partition: &PartitionId) {
    let PartitionId { topic, partition } = partition;
    let begin = Offset::Beginning;
    if let Err(error) = consumer.seek(topic, *partition, begin, Duration::ZERO) {
        error!(topic = &**topic, partition, %error, "cannot go back to the begin of the topic");
    }
}
