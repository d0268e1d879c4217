//! Decides when the state of a shard is saved and restored. It connects the shards of the engine
//! with checkpoint rounds in ClickHouse.
//!
//! One round is in progress at a time. Its chunks go to a short queue, so that a slow ClickHouse
//! delays checkpoints and not scoring. A round becomes valid only when all events that it includes
//! are stored: state never runs ahead of the ledger.

mod active;
mod restore;
mod writer;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::config::{Config, SourceKind, StateConfig};
use crate::engine::checkpoint::Extent;
use crate::event::{EventTime, PartitionId, ShardId};
use crate::instance::InstanceId;
use crate::store::{RoundId, Store, StoreError};

use self::active::Active;
use self::restore::Restored;
use self::writer::{Finished, Job, RoundWriter};
use crate::engine::Engine;

/// Chunks that wait between the engine and ClickHouse.
const QUEUED_CHUNKS: usize = 2;

/// A new generation begins when the increments are larger than this and larger than the full round
/// they extend.
const MIN_INCREMENT_BYTES: u64 = 4 << 20;

/// The epoch of state that several partitions share: their epochs cannot be compared.
const NO_EPOCH: u64 = 0;

/// Saves and restores the state of all shards of this process.
pub struct Checkpoints {
    store: Arc<Store>,
    scope: String,
    writer: String,
    config: StateConfig,
    shards: HashMap<ShardId, Saved>,
    active: Option<Active>,
    /// Shards saved before all others, because their partitions are being revoked.
    urgent: Vec<ShardId>,
    /// Last stored offset of each partition.
    stored: HashMap<PartitionId, i64>,
    jobs: mpsc::Sender<Job>,
    finished: mpsc::Receiver<Finished>,
}

/// The part of a shard's saved state that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    Everything,
    /// So many profiles. A profile may be saved more than once.
    Profiles(u64),
}

/// The checkpoint progress of one shard.
struct Saved {
    /// When the last round began.
    last: Instant,
    /// The newest known generation and its next round. `None`: the next round is a full one.
    next: Option<(u64, u32)>,
    newest_generation: u64,
    base_bytes: u64,
    increment_bytes: u64,
    /// Epoch of the claim on the shard's partition.
    epoch: u64,
}

impl Checkpoints {
    pub fn new(config: &Config, store: Arc<Store>) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUED_CHUNKS);
        let (report, finished) = mpsc::channel(QUEUED_CHUNKS);
        tokio::spawn(RoundWriter::new(Arc::clone(&store), report).run(queue));
        Self {
            store,
            scope: scope(config),
            writer: format!("{}-{}", std::process::id(), InstanceId::random()),
            config: config.state.clone(),
            shards: HashMap::new(),
            active: None,
            urgent: Vec::new(),
            stored: HashMap::new(),
            jobs,
            finished,
        }
    }

    /// Restores the saved state of `shard`, if there is any, into the engine, which must have no
    /// state for it. `epoch` is that of the claim on its partition. Returns what of the saved state
    /// is lost.
    ///
    /// # Errors
    /// Errors that a retry cannot fix.
    pub async fn restore(
        &mut self,
        shard: ShardId,
        epoch: u64,
        engine: &mut Engine,
    ) -> Result<Option<Loss>, StoreError> {
        let restored = restore::restore(&self.store, &self.scope, shard, engine).await?;
        let loss = match &restored {
            Restored::Unusable => Some(Loss::Everything),
            Restored::Round(_, lost @ 1..) => Some(Loss::Profiles(*lost)),
            Restored::Round(..) | Restored::Nothing => None,
        };
        let now = Instant::now();
        let mut saved = Saved::new(now);
        if matches!(shard, ShardId::Partition(_)) {
            saved.epoch = epoch;
        }
        match restored {
            // Restored state is saved state.
            Restored::Round(round, _) => {
                saved.newest_generation = round.id.generation;
                for (partition, offset) in round.positions {
                    self.note_stored(&partition, offset);
                }
            }
            // The first round is small and records where this state began.
            Restored::Nothing | Restored::Unusable => {
                saved.last = now.checked_sub(self.interval()).unwrap_or(now);
            }
        }
        self.shards.insert(shard, saved);
        Ok(loss)
    }

    /// Drops a shard that this process no longer owns.
    pub fn forget(&mut self, shard: ShardId) {
        self.shards.remove(&shard);
        if self.active.as_ref().is_some_and(|active| active.shard() == shard) {
            self.active = None;
        }
    }

    /// Notes that everything of `partition` up to `last_offset` is in the ledger.
    pub fn note_stored(&mut self, partition: &PartitionId, last_offset: i64) {
        match self.stored.get_mut(partition) {
            Some(stored) => *stored = last_offset.max(*stored),
            None => drop(self.stored.insert(partition.clone(), last_offset)),
        }
    }

    /// Notes that another process has claimed `partition`. That process stores the batches that
    /// were in progress.
    pub fn note_lost(&mut self, partition: &PartitionId) {
        self.note_stored(partition, i64::MAX);
    }

    /// Saves `shard` next.
    pub fn hurry(&mut self, shard: ShardId) {
        self.urgent.push(shard);
    }

    /// Returns true when a valid round includes everything that `shard` has seen, or when no round
    /// will include it.
    pub fn is_saved(&mut self, engine: &Engine, shard: ShardId) -> bool {
        let is_under_way = self.active.as_ref().is_some_and(|active| active.shard() == shard);
        let has_news = engine.shards().iter().any(|(known, events)| *known == shard && *events > 0);
        if is_under_way || has_news && self.shards.contains_key(&shard) {
            return false;
        }
        self.urgent.retain(|urgent| *urgent != shard);
        true
    }

    /// Continues saving for some milliseconds at most; called between batches.
    pub fn turn(&mut self, engine: &mut Engine) {
        self.drive(engine, false);
    }

    /// Completes when [`Self::turn`] can continue a round in progress.
    pub async fn is_ready(&self) {
        is_ready(self.active.as_ref(), &self.jobs).await;
    }

    /// Saves all unsaved state within the time limit. Events that are not saved in time are scored
    /// again at the next start.
    pub async fn finish(mut self, engine: &mut Engine, within: Duration) {
        let save = async {
            while self.drive(engine, true) {
                tokio::select! {
                    finished = self.finished.recv() => match finished {
                        Some(finished) => self.note_finished(&finished),
                        None => return,
                    },
                    () = is_ready(self.active.as_ref(), &self.jobs) => {}
                }
            }
        };
        if timeout(within, save).await.is_err() {
            warn!("state was not saved in time; events after the last checkpoint are scored again");
        }
    }

    /// Returns true while a round is in progress.
    fn drive(&mut self, engine: &mut Engine, at_once: bool) -> bool {
        while let Ok(finished) = self.finished.try_recv() {
            self.note_finished(&finished);
        }
        if self.active.is_none() {
            self.begin(engine, at_once);
        }
        let Some(active) = &mut self.active else { return false };
        if let Err(error) = active.advance(engine, &self.jobs, &self.stored) {
            warn!(%error, shard = ?active.shard(), "state could not be saved");
            self.give_up(at_once);
        }
        self.active.is_some()
    }

    fn begin(&mut self, engine: &mut Engine, at_once: bool) {
        let Some((shard, extent)) = self.next_due(engine, at_once) else { return };
        let Some(saved) = self.shards.get_mut(&shard) else { return };
        saved.last = Instant::now();
        let (generation, round) = saved.next_round(extent);
        let (scope, writer) = (self.scope.clone(), self.writer.clone());
        let id = RoundId { scope, shard, generation, round, writer };
        match engine.cut(shard, extent) {
            Ok(Some(cut)) => self.active = Some(Active::new(id, saved.epoch, cut)),
            Ok(None) => {}
            Err(error) => {
                warn!(%error, ?shard, "state could not be saved");
                saved.next = None;
            }
        }
    }

    /// Returns the due shard that has waited longest. Urgent shards come first.
    fn next_due(&self, engine: &Engine, at_once: bool) -> Option<(ShardId, Extent)> {
        let unsaved = engine.shards().into_iter().filter(|(_, events)| *events > 0);
        let due = unsaved.filter_map(|(shard, events)| {
            let saved = self.shards.get(&shard)?;
            let is_urgent = self.urgent.contains(&shard);
            let is_due = at_once
                || is_urgent
                || saved.last.elapsed() >= self.interval()
                || events >= self.config.snapshot_events;
            is_due.then_some((!is_urgent, saved.last, shard, saved.extent()))
        });
        due.min_by_key(|(is_later, last, ..)| (*is_later, *last))
            .map(|(.., shard, extent)| (shard, extent))
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(self.config.snapshot_seconds)
    }

    fn note_finished(&mut self, finished: &Finished) {
        let id = &finished.id;
        if self.active.as_ref().is_some_and(|active| active.is_of(id)) {
            self.active = None;
        }
        let Some(saved) = self.shards.get_mut(&id.shard) else { return };
        if saved.newest_generation == id.generation {
            saved.note_finished(id, finished.bytes);
        }
    }

    /// Abandons the round. The shard's next round is a full one; at shutdown there is no next
    /// round.
    fn give_up(&mut self, is_end: bool) {
        let Some(active) = self.active.take() else { return };
        match self.shards.get_mut(&active.shard()) {
            Some(_) if is_end => drop(self.shards.remove(&active.shard())),
            Some(saved) => saved.next = None,
            None => {}
        }
    }
}

impl Saved {
    fn new(now: Instant) -> Self {
        Self {
            last: now,
            next: None,
            newest_generation: 0,
            base_bytes: 0,
            increment_bytes: 0,
            epoch: NO_EPOCH,
        }
    }

    /// Chooses a full round once the increments have outgrown their base: such a generation
    /// restores more slowly than a new one.
    fn extent(&self) -> Extent {
        let limit = self.base_bytes.max(MIN_INCREMENT_BYTES);
        if self.next.is_none() || self.increment_bytes > limit {
            Extent::All
        } else {
            Extent::Changed
        }
    }

    fn next_round(&mut self, extent: Extent) -> (u64, u32) {
        if let (Extent::Changed, Some(next)) = (extent, self.next) {
            return next;
        }
        let now = u64::try_from(EventTime::now().as_micros()).unwrap_or(0);
        self.newest_generation = now.max(self.newest_generation + 1);
        (self.base_bytes, self.increment_bytes) = (0, 0);
        (self.newest_generation, 0)
    }

    fn note_finished(&mut self, id: &RoundId, bytes: Option<u64>) {
        let Some(bytes) = bytes else {
            self.next = None;
            return;
        };
        self.next = Some((id.generation, id.round + 1));
        if id.round == 0 {
            self.base_bytes = bytes;
        } else {
            self.increment_bytes += bytes;
        }
    }
}

async fn is_ready(active: Option<&Active>, jobs: &mpsc::Sender<Job>) {
    match active {
        Some(active) if active.has_more() => drop(jobs.reserve().await),
        _ => std::future::pending().await,
    }
}

/// Returns the namespace of the saved state. Processes of one consumer group take over each other's
/// state; every other kind of source has its own.
fn scope(config: &Config) -> String {
    match config.source.kind {
        SourceKind::Kafka => format!("kafka/{}", config.source.kafka.group_id),
        SourceKind::File => "file".into(),
        SourceKind::Stdin => "stdin".into(),
        SourceKind::Http => "http".into(),
    }
}
