//! Folds a log of events into alerts: `(state, events) -> (state, alerts)`.
//!
//! The engine is synchronous and uses neither clock nor I/O. The same events give the same alerts
//! however they are cut into batches: live, in a backtest and in tests.

mod attempts;
mod behaviour;
mod blackout;
pub mod checkpoint;
mod failures;
mod fleet;
mod history_scorer;
mod inspection;
mod leaks;
mod lessons;
mod outcome;
mod partition_clock;
mod request;
mod request_history;
mod scorer;
mod shard;
mod stuffing;
mod unread;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use crate::alert::Alert;
use crate::config::{DetectConfig, PolicyConfig};
use crate::decide::{MODEL_VERSION, Policy};
use crate::decode::Rejection;
use crate::detect::calibration::Calibration;
use crate::detect::outlier::Model;
use crate::detect::outlier::drift::{Drift, FeatureDrift};
use crate::detect::priors::Priors;
use crate::detect::{Family, Thresholds};
use crate::event::{EnrichedEvent, EventTime, PartitionId, ShardId};
use crate::profile::stuffing::{SourceAttempt, network_of};
use crate::registry::{Lesson, Registry};

pub use self::checkpoint::Restoration;
use self::checkpoint::{CheckpointError, Chunk, Cut, Extent};
pub use self::history_scorer::HistoryScorer;
pub use self::outcome::{BatchOutcome, Disposition};
use self::partition_clock::PartitionClock;
pub use self::partition_clock::QuarantineReason;
pub use self::request_history::{EarlierUses, ReplayLookup};
pub use self::scorer::{Choice, DecodedBatch, Intake, ScoredBatch, Scorer, ScorerError};
use self::shard::{Shard, Shared};
use self::stuffing::Session;
pub use self::stuffing::{LeakedKey, NetworkVerdict};

/// The state of all shards of this process.
pub struct Engine {
    config: DetectConfig,
    registry: Registry,
    policy: Policy,
    model: Option<Arc<Model>>,
    model_version: String,
    drift: Drift,
    shards: HashMap<ShardId, Shard>,
    partition_count: usize,
    /// What people have taught, for shards that are restored.
    lessons: VecDeque<Lesson>,
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
            lessons: VecDeque::new(),
        }
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub fn registry_mut(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// See [`Policy::restrain`].
    pub fn restrain(&mut self, families: BTreeSet<Family>) {
        self.policy.restrain(families);
    }

    /// Judges behaviour with `model` from now on. An engine without a model does not judge
    /// behaviour.
    pub fn set_model(&mut self, model: Arc<Model>) {
        self.model_version = format!("{MODEL_VERSION}+{}", model.version());
        self.model = Some(model);
        self.drift = Drift::default();
    }

    /// The version that alerts carry.
    pub fn model_version(&self) -> &str {
        &self.model_version
    }

    /// How far windows of behaviour have drifted from the model's training data. Empty without a
    /// model.
    pub fn feature_drift(&self) -> Vec<FeatureDrift> {
        let model = self.model.as_deref();
        model.map(|model| self.drift.features(model)).unwrap_or_default()
    }

    /// The promised and the measured share of key-hours in the tail of a family's scores, over all
    /// shards. `None` before the first hour of a key has ended.
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

    /// The number of keys that have a profile.
    pub fn keys(&self) -> usize {
        self.shards.values().map(Shard::keys).sum()
    }

    /// Sets the number of partitions of the topics, over all processes.
    ///
    /// A shard assumes that all others have as many keys as it has, so that the budget of false
    /// alerts is that of the whole fleet. With several partitions the engine does not judge a
    /// source by the events of one of them: [`Self::judge_network`] judges it by those of all.
    pub fn set_partition_count(&mut self, count: usize) {
        self.partition_count = count.max(1);
    }

    /// Shards that have state, in order, each with the number of events since its last cut.
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

    /// Begins a round of `shard`, and abandons one in progress. `None` for a shard without state.
    ///
    /// # Errors
    /// The state cannot be encoded.
    pub fn cut(&mut self, shard: ShardId, extent: Extent) -> Result<Option<Cut>, CheckpointError> {
        self.shards.get_mut(&shard).map(|shard| shard.cut(extent)).transpose()
    }

    /// Takes about `count` more profiles of the round in progress. `None` when the round is
    /// complete.
    ///
    /// # Errors
    /// A profile cannot be encoded. The caller must abandon the round.
    pub fn take_slice(
        &mut self,
        shard: ShardId,
        count: usize,
    ) -> Result<Option<Chunk>, CheckpointError> {
        match self.shards.get_mut(&shard) {
            Some(shard) => shard.take_slice(count),
            None => Ok(None),
        }
    }

    /// Replaces the state of `shard` with a restored one.
    ///
    /// # Errors
    /// The restoration lacks parts. The shard keeps its state.
    pub fn install(
        &mut self,
        shard: ShardId,
        restoration: Restoration,
    ) -> Result<(), CheckpointError> {
        let mut restored = restoration.into_shard(&self.config, &self.policy)?;
        self.lessons.iter().for_each(|lesson| restored.learn_lesson(lesson));
        self.shards.insert(shard, restored);
        Ok(())
    }

    /// Drops the state of a shard that another process has taken over.
    pub fn forget(&mut self, shard: ShardId) {
        self.shards.remove(&shard);
    }

    /// The calibration of a shard's scores, and the thresholds that its keys are judged by.
    pub fn calibration(&self, shard: ShardId) -> Option<(&Calibration, Thresholds)> {
        let shard = self.shards.get(&shard)?;
        Some((shard.calibration(), Thresholds::new(&self.config, shard.keys())))
    }

    /// The priors that a shard has learned from all its keys.
    pub fn priors(&self, shard: ShardId) -> Option<Priors> {
        self.shards.get(&shard).map(Shard::priors)
    }

    /// Judges a network by the attempts that all partitions handed out. `attempts` is sorted by
    /// time.
    pub fn judge_network(
        &self,
        attempts: &[SourceAttempt],
        now: Option<EventTime>,
    ) -> NetworkVerdict {
        let keys = self.keys() / self.shards.len().max(1) * self.partition_count;
        let logs = self.shards.values().flat_map(|shard| shard.clocks.values());
        let watermark = logs.filter_map(PartitionClock::watermark).max();
        let session = Session {
            threshold: Thresholds::new(&self.config, keys).source,
            now,
            model_version: &self.model_version,
            watermark: watermark.unwrap_or_default(),
        };
        stuffing::judge(attempts, session, &self.policy)
    }

    /// The partition whose owner judges the network of this address.
    pub fn home_of(&self, address: IpAddr) -> i32 {
        stuffing::home_of(network_of(address), self.partition_count)
    }

    /// Adds a leaked key to the key's own incident: a key that was accepted from a source that
    /// tries keys. Empty if another process holds the key's shard.
    ///
    /// `is_told` says that some process has opened an incident for this leak before. The leak is
    /// then only added to an incident that is still open.
    pub fn raise(&mut self, leak: &LeakedKey, is_told: bool, now: Option<EventTime>) -> Vec<Alert> {
        let id = ShardId::Partition(leak.attempt.partition.partition);
        let Some(shard) = self.shards.get_mut(&id) else { return Vec::new() };
        shard.raise(leak, is_told, now, &self.model_version, &self.policy)
    }

    /// Nonces and signatures of the next events that were used long ago. The store knows when: look
    /// them up, and give its answer to [`Self::process_knowing`].
    pub fn replay_lookups(&self, shard: ShardId, events: &[EnrichedEvent]) -> Vec<ReplayLookup> {
        self.shards.get(&shard).map(|shard| shard.replay_lookups(events)).unwrap_or_default()
    }

    /// Folds one partition's next events into `shard`.
    ///
    /// `now` is the wall clock: it becomes `detected_at`, and it exposes event times in the future.
    /// Without it (in a backtest), alerts are detected at the time of their event.
    pub fn process(
        &mut self,
        shard: ShardId,
        partition: &PartitionId,
        events: &[EnrichedEvent],
        now: Option<EventTime>,
    ) -> BatchOutcome {
        self.process_knowing(None, shard, partition, (events, &[]), now)
    }

    /// As [`Self::process`], with the store's answer to [`Self::replay_lookups`], and the records
    /// among the events that could not be read.
    pub fn process_knowing(
        &mut self,
        earlier_uses: Option<&EarlierUses>,
        shard: ShardId,
        partition: &PartitionId,
        (events, rejections): (&[EnrichedEvent], &[Rejection]),
        now: Option<EventTime>,
    ) -> BatchOutcome {
        let mut outcome = BatchOutcome::default();
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
            policy: &self.policy,
            outcome: &mut outcome,
            earlier_uses,
        };
        let model = self.model.as_deref();
        let shard =
            self.shards.entry(shard).or_insert_with(|| Shard::starting(&self.config, model));
        shard.process(partition, events, rejections, now, &mut shared);
        outcome
    }
}
