//! The synchronous fold over a log: `(state, events) -> (state, alerts)`.
//!
//! No clock, no I/O: the same events give the same alerts however they are cut into
//! batches, live, in a backtest and in tests.

mod blackout;
mod conduct;
mod fleet;
mod inspection;
mod log;
mod shard;
mod sources;

use std::collections::HashMap;

use crate::alert::Alert;
use crate::config::{DetectConfig, PolicyConfig};
use crate::decide::Policy;
use crate::detect::Thresholds;
use crate::detect::calibration::Calibration;
use crate::event::{EnrichedEvent, EventTime, PartitionId, RecordPosition, ShardId};
use crate::registry::Registry;

pub use self::log::{QuarantineReason, Quarantined};
use self::shard::{Shard, Shared};

/// What happened to the events so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub events: u64,
    /// Came a second time by Kafka's at-least-once delivery; counted nowhere else.
    pub redelivered: u64,
    /// Ahead of the wall clock, or further from the log than a week, one at a time. Not learned.
    pub set_aside: u64,
    /// Of keys that are not admitted: unknown and never answered, or beyond `max_keys`.
    pub unprofiled: u64,
}

/// All state between events.
pub struct Engine {
    config: DetectConfig,
    registry: Registry,
    policy: Policy,
    shards: HashMap<ShardId, Shard>,
    counters: Counters,
    redelivered: Vec<RecordPosition>,
    quarantined: Vec<Quarantined>,
}

impl Engine {
    pub fn new(detect: &DetectConfig, policy: &PolicyConfig, registry: Registry) -> Self {
        Self {
            config: detect.clone(),
            registry,
            policy: Policy::new(policy),
            shards: HashMap::new(),
            counters: Counters::default(),
            redelivered: Vec::new(),
            quarantined: Vec::new(),
        }
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Of the last batch: records that had come before, in order.
    pub fn redelivered(&self) -> &[RecordPosition] {
        &self.redelivered
    }

    /// Keys that have a profile.
    pub fn keys(&self) -> usize {
        self.shards.values().map(Shard::keys).sum()
    }

    /// What the scores of a shard's keys are like, and the thresholds they are held to.
    pub fn calibration(&self, shard: ShardId) -> Option<(&Calibration, Thresholds)> {
        let shard = self.shards.get(&shard)?;
        Some((shard.calibration(), Thresholds::new(&self.config, shard.keys())))
    }

    /// The events that were not judged since this was asked last, in the order they came.
    pub fn take_quarantined(&mut self) -> Vec<Quarantined> {
        std::mem::take(&mut self.quarantined)
    }

    /// Folds one partition's next events into the shard they belong to. `now` is the wall
    /// clock, for `detected_at` and for what is ahead of it; without it (in a backtest) alerts
    /// are detected at their event's time.
    pub fn process(
        &mut self,
        shard: ShardId,
        partition: &PartitionId,
        events: &[EnrichedEvent],
        now: Option<EventTime>,
    ) -> Vec<Alert> {
        self.redelivered.clear();
        let mut shared = Shared {
            keys: self.keys(),
            config: &self.config,
            registry: &self.registry,
            policy: &mut self.policy,
            counters: &mut self.counters,
            redelivered: &mut self.redelivered,
            quarantined: &mut self.quarantined,
        };
        self.shards.entry(shard).or_default().process(partition, events, now, &mut shared)
    }
}
