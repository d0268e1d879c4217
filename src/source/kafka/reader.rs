//! Polls librdkafka in a thread and cuts batches.
//!
//! Each partition has its own queue, so that records are taken only when there is room for them.
//! Rebalances and errors arrive in the consumer's queue and are always served.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use tracing::{debug, error, warn};

use super::Output;
use super::assignment::Change;
use super::context::Context;
use super::lane::{Identity, Lane};
use super::topics::Topics;
use crate::event::PartitionId;
use crate::record::BatchLimits;
use crate::source::SourceError;

/// The thread sleeps this long in the consumer's queue when there are no records or there is no
/// room for them.
const IDLE_POLL: Duration = Duration::from_millis(5);

/// Time-out of the query for the group's committed offsets. The coordinator has just answered, so
/// it is probably available. Without an answer, offsets without records before the first record
/// look like a gap.
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Reader {
    consumer: Arc<BaseConsumer<Context>>,
    limits: BatchLimits,
    output: Output,
    lanes: Vec<Lane>,
    topics: Topics,
    /// Index of the lane whose turn it is; may be past the last one.
    turn: usize,
}

impl Reader {
    pub(super) fn new(
        consumer: Arc<BaseConsumer<Context>>,
        topics: Topics,
        limits: BatchLimits,
        output: Output,
    ) -> Self {
        Self { consumer, limits, output, lanes: Vec::new(), topics, turn: 0 }
    }

    /// Runs until the receiver is dropped or the client has a fatal error. Leaves the group in
    /// order: dropping the consumer commits and leaves.
    pub(super) fn run(mut self) {
        let mut is_idle = false;
        while !self.output.is_closed() {
            let wait = if is_idle { IDLE_POLL } else { Duration::ZERO };
            if let Err(error) = self.poll_consumer(wait) {
                // A full queue gets room or is closed eventually.
                let _ = self.output.blocking_send(Err(error));
                break;
            }
            let taken = self.take_records();
            self.hand_over();
            is_idle = taken == 0;
        }
        self.consumer.context().assignment.close();
    }

    /// Serves events. The context has logged errors that are not fatal already.
    fn poll_consumer(&mut self, wait: Duration) -> Result<(), SourceError> {
        let consumer = Arc::clone(&self.consumer);
        let polled = consumer.poll(wait);
        self.follow_assignment();
        match polled {
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                Err(SourceError::Kafka(error))
            }
            // Each partition has its own queue before its first record is fetched. A restart reads
            // this record in its place.
            Some(Ok(message)) => Err(SourceError::OutOfPlace {
                topic: message.topic().to_owned(),
                partition: message.partition(),
                offset: message.offset(),
            }),
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

    /// Takes a turn's records from each partition within the common bound and returns their number.
    ///
    /// Begins with the partition whose turn it is. The first one with records may use all the room,
    /// and the others together half of the bound: with equal shares, all batches would be small when
    /// the bound is reached.
    fn take_records(&mut self) -> usize {
        let mut room = self.limits.bytes.saturating_sub(self.bytes_in_the_making());
        let share = self.limits.bytes / 2 / self.lanes.len().max(1);
        let (mut taken, mut is_first) = (0, true);
        let turn = self.turn.min(self.lanes.len());
        let (before, from_turn) = self.lanes.split_at_mut(turn);
        for lane in from_turn.iter_mut().chain(before) {
            let own = if is_first { room } else { share.saturating_sub(lane.size_bytes()) };
            let turn =
                lane.take_turn(&mut self.topics, &self.consumer, &self.limits, own.min(room));
            taken += turn.records;
            room = room.saturating_sub(turn.bytes);
            is_first &= !lane.has_records();
            if let Some(last_offset) = lane.last_offset().filter(|_| turn.records > 0) {
                let assignment = &self.consumer.context().assignment;
                assignment.note_taken(lane.partition(), last_offset);
            }
            if turn.is_other_topic {
                begin_anew(&self.consumer, lane);
            }
        }
        taken
    }

    /// Passes on the due batches while there is room, beginning with the partition whose turn it
    /// is. Without room, batches stay open and grow.
    fn hand_over(&mut self) {
        let mut is_crowded = self.bytes_in_the_making() >= self.limits.bytes;
        let now = Instant::now();
        let (first, count) = (self.turn, self.lanes.len());
        for index in (first..first + count).map(|index| index % count) {
            if self.output.capacity() == 0 {
                return;
            }
            let lane = &mut self.lanes[index];
            if !lane.has_records() {
                continue;
            }
            // One batch makes room for the others.
            let makes_room = std::mem::take(&mut is_crowded);
            if !makes_room && !lane.is_due(&self.consumer, &self.limits, now) {
                continue;
            }
            match lane.confirm(&mut self.topics, now) {
                Identity::Same => {}
                Identity::Unknown => continue,
                Identity::Other => {
                    begin_anew(&self.consumer, lane);
                    continue;
                }
            }
            let Ok(slot) = self.output.try_reserve() else { return };
            slot.send(Ok(lane.take_batch(&self.consumer)));
            self.turn = index + 1;
        }
    }
}

/// Returns the group's committed offsets of assigned partitions; those without one are left out.
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
        debug!(%error, "the group's committed offsets are unknown");
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

/// Follows a topic that was deleted and created again, or whose log was truncated.
fn begin_anew(consumer: &BaseConsumer<Context>, lane: &mut Lane) {
    let partition = lane.partition().clone();
    // Without an ownership the partition is being revoked.
    let Some(ownership) = consumer.context().assignment.renew(&partition) else { return };
    warn!(?partition, "the topic was created again or truncated: reading from its beginning");
    lane.begin_anew(ownership);
    rewind(consumer, &partition);
}

/// Rewinds to the beginning of a recreated topic, so that the record that revealed it and all
/// records before it are read.
fn rewind(consumer: &BaseConsumer<Context>, partition: &PartitionId) {
    let PartitionId { topic, partition } = partition;
    let begin = Offset::Beginning;
    if let Err(error) = consumer.seek(topic, *partition, begin, Duration::ZERO) {
        error!(topic = &**topic, partition, %error, "cannot rewind to the beginning of the topic");
    }
}
