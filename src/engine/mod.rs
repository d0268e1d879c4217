//! The synchronous fold over a log: `(state, events) -> (state, alerts)`.
//!
//! No clock, no I/O: the same events give the same alerts however they are cut into
//! batches, live, in a backtest and in tests.

mod attempt;
mod behaviour;
mod blackout;
mod conduct;
mod failures;
mod fleet;
mod inspection;
mod log;
mod memory;
mod merged;
mod restore;
mod save;
mod shard;
pub mod snapshot;
mod sources;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::alert::Alert;
use crate::config::{DetectConfig, PolicyConfig};
use crate::decide::{MODEL_VERSION, Policy};
use crate::detect::calibration::Calibration;
use crate::detect::outlier::Model;
use crate::detect::outlier::drift::{Drift, FeatureDrift};
use crate::detect::priors::Priors;
use crate::detect::{Family, Thresholds};
use crate::event::{EnrichedEvent, EventTime, PartitionId, RecordPosition, ShardId};
use crate::profile::source::{Attempt, network_of};
use crate::registry::Registry;

use self::log::Log;
pub use self::log::{QuarantineReason, Quarantined};
pub use self::memory::{Doubt, EarlierUses};
use self::merged::Session;
pub use self::merged::{LeakedKey, Verdict};
pub use self::restore::Restoration;
use self::shard::{Shard, Shared};
use self::snapshot::{Chunk, Cut, Extent, SnapshotError};

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
    /// Uses of nonces and signatures that were forgotten within the horizon, for want of room.
    pub forgotten: u64,
}

/// All state between events.
pub struct Engine {
    config: DetectConfig,
    registry: Registry,
    policy: Policy,
    model: Option<Arc<Model>>,
    model_version: String,
    drift: Drift,
    shards: HashMap<ShardId, Shard>,
    partition_count: usize,
    counters: Counters,
    redelivered: Vec<RecordPosition>,
    quarantined: Vec<Quarantined>,
    attempts: Vec<Attempt>,
}

impl Engine {
    pub fn new(detect: &DetectConfig, policy: &PolicyConfig, registry: Registry) -> Self {
        Self {
            config: detect.clone(),
            registry,
            policy: Policy::new(policy),
            model: None,
            model_version: MODEL_VERSION.to_owned(),
            drift: Drift::default(),
            shards: HashMap::new(),
            partition_count: 1,
            counters: Counters::default(),
            redelivered: Vec::new(),
            quarantined: Vec::new(),
            attempts: Vec::new(),
        }
    }

    /// Judges behaviour by `model` from now on. Without one, behaviour is not judged.
    pub fn set_model(&mut self, model: Arc<Model>) {
        self.model_version = format!("{MODEL_VERSION}+{}", model.version());
        self.model = Some(model);
        self.drift = Drift::default();
    }

    /// Named in alerts.
    pub fn model_version(&self) -> &str {
        &self.model_version
    }

    /// How far windows have moved from those that the model was trained with; nothing without
    /// a model.
    pub fn feature_drift(&self) -> Vec<FeatureDrift> {
        let model = self.model.as_deref();
        model.map(|model| self.drift.features(model)).unwrap_or_default()
    }

    /// Promised and measured shares of key-hours in the tail of a family's scores, over all
    /// shards; `None` before the first hour of a key is over.
    pub fn promise(&self, family: Family) -> Option<(f64, f64)> {
        let shards = self.shards.values().map(Shard::calibration);
        let (mut hours, mut promised, mut measured) = (0.0, 0.0, 0.0);
        for calibration in shards {
            hours += calibration.key_hours();
            let (promise, measure) = calibration.tail_share(family);
            promised += promise * calibration.key_hours();
            measured += measure * calibration.key_hours();
        }
        (hours > 0.0).then(|| (promised / hours, measured / hours))
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

    /// Partitions of the topics that are read, over all processes. Shards take each other to be
    /// as large, so that the budget of false alerts is that of the whole fleet. Where there are
    /// several, sources are not judged with the events of one, but by [`Self::judge_network`].
    pub fn set_partition_count(&mut self, count: usize) {
        self.partition_count = count.max(1);
    }

    /// Shards that have state, in order, with the number of events since their last cut.
    pub fn shards(&self) -> Vec<(ShardId, u64)> {
        let shard = |(id, shard): (&ShardId, &Shard)| (*id, shard.unsaved_events());
        let mut shards: Vec<_> = self.shards.iter().map(shard).collect();
        shards.sort_unstable();
        shards
    }

    pub fn has_shard(&self, shard: ShardId) -> bool {
        self.shards.contains_key(&shard)
    }

    /// The last offset of `partition` that the state of `shard` includes.
    pub fn position(&self, shard: ShardId, partition: &PartitionId) -> Option<i64> {
        self.shards.get(&shard)?.position(partition)
    }

    /// Begins a round of `shard`, giving up one in progress; `None` for a shard without state.
    ///
    /// # Errors
    /// A state that cannot be encoded.
    pub fn cut(&mut self, shard: ShardId, extent: Extent) -> Result<Option<Cut>, SnapshotError> {
        self.shards.get_mut(&shard).map(|shard| shard.cut(extent)).transpose()
    }

    /// About `count` more profiles of the round in progress; `None` when it has all.
    ///
    /// # Errors
    /// A profile that cannot be encoded: the round must be given up.
    pub fn take_slice(
        &mut self,
        shard: ShardId,
        count: usize,
    ) -> Result<Option<Chunk>, SnapshotError> {
        match self.shards.get_mut(&shard) {
            Some(shard) => shard.take_slice(count),
            None => Ok(None),
        }
    }

    /// Puts a restored state in the place of what `shard` has.
    ///
    /// # Errors
    /// A restoration that lacks parts; the shard is as before.
    pub fn install(
        &mut self,
        shard: ShardId,
        restoration: Restoration,
    ) -> Result<(), SnapshotError> {
        let restored = restoration.into_shard(&self.config, &mut self.policy)?;
        if let Some(replaced) = self.shards.insert(shard, restored) {
            self.policy.forget_revocations(replaced.revocations);
        }
        Ok(())
    }

    /// Forgets a shard that has left this process.
    pub fn forget(&mut self, shard: ShardId) {
        if let Some(shard) = self.shards.remove(&shard) {
            self.policy.forget_revocations(shard.revocations);
        }
    }

    /// What the scores of a shard's keys are like, and the thresholds they are held to.
    pub fn calibration(&self, shard: ShardId) -> Option<(&Calibration, Thresholds)> {
        let shard = self.shards.get(&shard)?;
        Some((shard.calibration(), Thresholds::new(&self.config, shard.keys())))
    }

    /// What a shard has learned of all its keys together.
    pub fn priors(&self, shard: ShardId) -> Option<Priors> {
        self.shards.get(&shard).map(Shard::priors)
    }

    /// The events that were not judged since this was asked last, in the order they came.
    pub fn take_quarantined(&mut self) -> Vec<Quarantined> {
        std::mem::take(&mut self.quarantined)
    }

    /// What the other partitions should know of the sources of the last batch.
    pub fn take_attempts(&mut self) -> Vec<Attempt> {
        std::mem::take(&mut self.attempts)
    }

    /// Judges a network by what all partitions handed out of it, in the order of the times.
    pub fn judge_network(&mut self, attempts: &[Attempt], now: Option<EventTime>) -> Verdict {
        let keys = self.keys() / self.shards.len().max(1) * self.partition_count;
        let logs = self.shards.values().flat_map(|shard| shard.logs.values());
        let watermark = logs.filter_map(Log::watermark).max();
        let session = Session {
            threshold: Thresholds::new(&self.config, keys).source,
            now,
            model_version: &self.model_version,
            watermark: watermark.unwrap_or_default(),
        };
        merged::judge(attempts, session, &mut self.policy)
    }

    /// The partition whose owner tells of the network of this address.
    pub fn home_of(&self, address: IpAddr) -> i32 {
        merged::home_of(network_of(address), self.partition_count)
    }

    /// Raises a key of this engine that was answered where others are tried, in its own
    /// incident; nothing when its shard is elsewhere. `is_told`: some process did so before, so
    /// that it only adds to an incident that is open.
    pub fn raise(&mut self, leak: &LeakedKey, is_told: bool, now: Option<EventTime>) -> Vec<Alert> {
        let id = ShardId::Partition(leak.attempt.partition.partition);
        let Some(shard) = self.shards.get_mut(&id) else { return Vec::new() };
        shard.raise(leak, is_told, now, &self.model_version, &mut self.policy)
    }

    /// What the next events repeat that was used long ago: the store can tell when, and
    /// [`Self::process_knowing`] wants to hear it.
    pub fn doubts(&self, shard: ShardId, events: &[EnrichedEvent]) -> Vec<Doubt> {
        self.shards.get(&shard).map(|shard| shard.doubts(events)).unwrap_or_default()
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
        self.process_knowing(None, shard, partition, events, now)
    }

    /// As [`Self::process`], with the store's answer to the doubts about these events.
    pub fn process_knowing(
        &mut self,
        earlier_uses: Option<&EarlierUses>,
        shard: ShardId,
        partition: &PartitionId,
        events: &[EnrichedEvent],
        now: Option<EventTime>,
    ) -> Vec<Alert> {
        self.redelivered.clear();
        self.attempts.clear();
        let mut shared = Shared {
            keys: self.keys(),
            shards_of_fleet: match shard {
                ShardId::Shared => 1,
                ShardId::Partition(_) => self.partition_count,
            },
            config: &self.config,
            model: self.model.as_deref(),
            model_version: &self.model_version,
            drift: &mut self.drift,
            registry: &self.registry,
            policy: &mut self.policy,
            counters: &mut self.counters,
            redelivered: &mut self.redelivered,
            quarantined: &mut self.quarantined,
            attempts: &mut self.attempts,
            earlier_uses,
        };
        let model = self.model.as_deref();
        let shard =
            self.shards.entry(shard).or_insert_with(|| Shard::starting(&self.config, model));
        shard.process(partition, events, now, &mut shared)
    }
}
