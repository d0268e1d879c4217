//! Handles librdkafka's callbacks: logs, errors, statistics, rebalances.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use metrics::gauge;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::{Partition, Statistics};
use rdkafka::topic_partition_list::TopicPartitionList;
use tracing::{info, warn};

use super::assignment::{Assignment, Patience};
use crate::event::PartitionId;
use crate::kafka::{ConnectionLog, log_line};
use crate::source::Lag;

/// A revoked partition waits this long for its last batch to be stored. This is far below
/// `max.poll.interval.ms`, after which the group would remove this member.
const REVOKE_PATIENCE: Duration = Duration::from_secs(30);

/// A revoked partition then waits this long for its state to be saved. No partition is read
/// meanwhile. Saving the changes since the last checkpoint takes well under a second. When the
/// state of very many keys was never saved, their next owner is ready sooner if it scores some
/// records again.
const STATE_PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Context {
    pub(super) assignment: Arc<Assignment>,
    pub(super) connection: ConnectionLog,
    /// The lags of the last statistics.
    pub(super) lags: Mutex<Vec<Lag>>,
    /// Set when each partition is read from a queue of its own.
    pub(super) separated: OnceLock<Weak<BaseConsumer<Self>>>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.connection.error(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        if statistics.brokers.values().any(|broker| broker.state == "UP") {
            self.connection.up();
        }
        let lags = lags(&statistics, |partition| self.assignment.taken_to(partition));
        for Lag { partition, records, .. } in &lags {
            lag_gauge(&partition.topic, partition.partition).set(*records as f64);
        }
        *self.lags.lock() = lags;
    }
}

/// Computes lags from statistics, in which negative numbers mean unknown values and partitions of
/// other members. `taken_to` returns the last record that was taken of a partition.
fn lags(statistics: &Statistics, taken_to: impl Fn(&PartitionId) -> Option<i64>) -> Vec<Lag> {
    let partitions = statistics.topics.iter().flat_map(|(topic, of_topic)| {
        of_topic.partitions.iter().map(move |(number, partition)| (topic, *number, partition))
    });
    partitions
        .filter_map(|(topic, number, partition)| {
            let records = u64::try_from(partition.consumer_lag_stored).ok()?;
            let log_end = Some(partition.hi_offset).filter(|offset| *offset >= 0)?;
            let id = PartitionId { topic: topic.as_str().into(), partition: number };
            let is_stored = taken_to(&id).is_none_or(|offset| partition.stored_offset > offset);
            let records = if is_stored && is_all_taken(partition) { 0 } else { records };
            Some(Lag { partition: id, records, log_end })
        })
        .collect()
}

/// Transaction markers at the end of the log are not unread records.
fn is_all_taken(partition: &Partition) -> bool {
    let end = if partition.ls_offset >= 0 { partition.ls_offset } else { partition.hi_offset };
    partition.next_offset >= end && partition.fetchq_cnt == 0
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                let partitions = partitions_of(list);
                info!(partitions = %names(&partitions), "Kafka partitions assigned");
                self.separate(&partitions);
                self.assignment.assign(partitions);
            }
            Rebalance::Revoke(list) => {
                self.revoke(&partitions_of(list), consumer.assignment_lost())
            }
            Rebalance::Error(error) => warn!(%error, "Kafka rebalance failed; trying again"),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        match result {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => warn!(
                %error,
                "Kafka rejected the committed offsets; their records may be read again"
            ),
        }
    }
}

impl Context {
    /// Gives each partition its own queue before librdkafka fetches from it. After that, its first
    /// records could be in the common queue, and later ones would overtake them.
    fn separate(&self, partitions: &[PartitionId]) {
        let Some(consumer) = self.separated.get().and_then(Weak::upgrade) else { return };
        for PartitionId { topic, partition } in partitions {
            // The queue stays apart when this handle to it is dropped.
            drop(consumer.split_partition_queue(topic, *partition));
        }
    }

    /// Revokes partitions. `is_lost`: the group removed this member already, so waiting does not
    /// help.
    fn revoke(&self, partitions: &[PartitionId], is_lost: bool) {
        let patience = match is_lost {
            true => Patience { batches: Duration::ZERO, state: Duration::ZERO },
            false => Patience { batches: REVOKE_PATIENCE, state: STATE_PATIENCE },
        };
        let left = self.assignment.revoke(partitions, patience);
        for partition in partitions {
            lag_gauge(&partition.topic, partition.partition).set(0);
        }
        info!(partitions = %names(partitions), "Kafka partitions revoked");
        if !left.is_empty() {
            warn!(
                partitions = %names(&left),
                "revoked while a batch was not committed: the next owner reads it again"
            );
        }
    }
}

fn lag_gauge(topic: &str, partition: i32) -> metrics::Gauge {
    let labels = [("topic", topic.to_owned()), ("partition", partition.to_string())];
    gauge!("keywatch_source_lag_records", &labels)
}

fn partitions_of(list: &TopicPartitionList) -> Vec<PartitionId> {
    let elements = list.elements();
    elements
        .iter()
        .map(|element| PartitionId {
            topic: element.topic().into(),
            partition: element.partition(),
        })
        .collect()
}

/// Formats partitions as `topic/0 topic/1` for logs.
fn names(partitions: &[PartitionId]) -> String {
    let name = |partition: &PartitionId| format!("{}/{}", partition.topic, partition.partition);
    partitions.iter().map(name).collect::<Vec<_>>().join(" ")
}
