//! When state is saved and restored: the shards of the engine on one side, rounds in
//! ClickHouse on the other.
//!
//! One round is under way at a time. Its chunks go to a short queue, so that a slow ClickHouse
//! slows the rounds and not the scoring. It becomes valid only when all that it includes is
//! stored: state never runs ahead of the ledger.

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
use crate::engine::snapshot::Extent;
use crate::event::{EventTime, PartitionId, ShardId};
use crate::store::{RoundId, Store, StoreError};

use self::active::Active;
use self::restore::Restored;
use self::writer::{Finished, Job, RoundWriter};
use super::Core;

/// Chunks between the engine and ClickHouse.
const QUEUED_CHUNKS: usize = 2;

/// Increments may take this much room, or as much as the round that holds everything, before
/// a new generation begins.
const MIN_INCREMENT_BYTES: u64 = 4 << 20;

/// Of state that several partitions share: their epochs do not compare.
const NO_EPOCH: u64 = 0;

/// Saves and restores the state of all shards of this process.
pub struct Snapshots {
    store: Arc<Store>,
    scope: String,
    writer: String,
    config: StateConfig,
    shards: HashMap<ShardId, Saved>,
    active: Option<Active>,
    /// Saved before all others: their partitions are about to leave.
    urgent: Vec<ShardId>,
    /// Everything up to this offset is in the ledger.
    stored: HashMap<PartitionId, i64>,
    jobs: mpsc::Sender<Job>,
    finished: mpsc::Receiver<Finished>,
}

/// What was saved of a shard so far.
struct Saved {
    /// When the last round began.
    last: Instant,
    /// Newest generation known, and its next round. `None`: the next round holds everything.
    next: Option<(u64, u32)>,
    newest_generation: u64,
    base_bytes: u64,
    increment_bytes: u64,
    /// Ownership of the shard's partitions.
    epoch: u64,
}

impl Snapshots {
    pub fn new(config: &Config, store: Arc<Store>) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUED_CHUNKS);
        let (report, finished) = mpsc::channel(QUEUED_CHUNKS);
        tokio::spawn(RoundWriter::new(Arc::clone(&store), report).run(queue));
        let started = EventTime::now().as_micros();
        Self {
            store,
            scope: scope(config),
            writer: format!("{}-{started}", std::process::id()),
            config: config.state.clone(),
            shards: HashMap::new(),
            active: None,
            urgent: Vec::new(),
            stored: HashMap::new(),
            jobs,
            finished,
        }
    }

    /// Puts the saved state of `shard` into the core, which has none, if there is any. `epoch` is
    /// the ownership of its partition. True when there is some and it is not usable.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn restore(
        &mut self,
        shard: ShardId,
        epoch: u64,
        core: &mut Core,
    ) -> Result<bool, StoreError> {
        let restored = restore::restore(&self.store, &self.scope, shard, core).await?;
        let is_unusable = matches!(restored, Restored::Unusable);
        let now = Instant::now();
        let mut saved = Saved::new(now);
        if matches!(shard, ShardId::Partition(_)) {
            saved.epoch = epoch;
        }
        match restored {
            // What is restored is saved.
            Restored::Round(round) => {
                saved.newest_generation = round.id.generation;
                for (partition, offset) in round.positions {
                    self.note_stored(&partition, offset);
                }
            }
            // The first round is small, and tells where this state began.
            Restored::Nothing | Restored::Unusable => {
                saved.last = now.checked_sub(self.interval()).unwrap_or(now);
            }
        }
        self.shards.insert(shard, saved);
        Ok(is_unusable)
    }

    /// The shard has left this process.
    pub fn forget(&mut self, shard: ShardId) {
        self.shards.remove(&shard);
        if self.active.as_ref().is_some_and(|active| active.shard() == shard) {
            self.active = None;
        }
    }

    /// Everything of `partition` up to `last_offset` is in the ledger.
    pub fn note_stored(&mut self, partition: &PartitionId, last_offset: i64) {
        match self.stored.get_mut(partition) {
            Some(stored) => *stored = last_offset.max(*stored),
            None => drop(self.stored.insert(partition.clone(), last_offset)),
        }
    }

    /// Another process has claimed `partition` and stores what was under way of it.
    pub fn note_lost(&mut self, partition: &PartitionId) {
        self.note_stored(partition, i64::MAX);
    }

    /// Saves `shard` next.
    pub fn hurry(&mut self, shard: ShardId) {
        self.urgent.push(shard);
    }

    /// Whether a round is valid that includes all that `shard` has seen, or none will be.
    pub fn is_saved(&mut self, core: &Core, shard: ShardId) -> bool {
        let is_under_way = self.active.as_ref().is_some_and(|active| active.shard() == shard);
        let has_news = core.shards().iter().any(|(known, events)| *known == shard && *events > 0);
        if is_under_way || has_news && self.shards.contains_key(&shard) {
            return false;
        }
        self.urgent.retain(|urgent| *urgent != shard);
        true
    }

    /// Goes on with saving, for some milliseconds at most; called between batches.
    pub fn turn(&mut self, core: &mut Core) {
        self.drive(core, false);
    }

    /// Returns when [`Self::turn`] would get on with a round in progress.
    pub async fn is_ready(&self) {
        is_ready(self.active.as_ref(), &self.jobs).await;
    }

    /// Saves all that is not saved yet, within the bound: what is not is scored again.
    pub async fn finish(mut self, core: &mut Core, within: Duration) {
        let save = async {
            while self.drive(core, true) {
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
            warn!("state was not saved in time; what came after the last round is scored again");
        }
    }

    /// True while a round is under way.
    fn drive(&mut self, core: &mut Core, at_once: bool) -> bool {
        while let Ok(finished) = self.finished.try_recv() {
            self.note_finished(&finished);
        }
        if self.active.is_none() {
            self.begin(core, at_once);
        }
        let Some(active) = &mut self.active else { return false };
        if let Err(error) = active.advance(core, &self.jobs, &self.stored) {
            warn!(%error, shard = ?active.shard(), "state could not be saved");
            self.give_up(at_once);
        }
        self.active.is_some()
    }

    fn begin(&mut self, core: &mut Core, at_once: bool) {
        let Some((shard, extent)) = self.next_due(core, at_once) else { return };
        let Some(saved) = self.shards.get_mut(&shard) else { return };
        saved.last = Instant::now();
        let (generation, round) = saved.next_round(extent);
        let (scope, writer) = (self.scope.clone(), self.writer.clone());
        let id = RoundId { scope, shard, generation, round, writer };
        match core.cut(shard, extent) {
            Ok(Some(cut)) => self.active = Some(Active::new(id, saved.epoch, cut)),
            Ok(None) => {}
            Err(error) => {
                warn!(%error, ?shard, "state could not be saved");
                saved.next = None;
            }
        }
    }

    /// The shard that has waited longest of those that are due, or of the urgent ones.
    fn next_due(&self, core: &Core, at_once: bool) -> Option<(ShardId, Extent)> {
        let unsaved = core.shards().into_iter().filter(|(_, events)| *events > 0);
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

    /// The next round of the shard holds everything; at the end there is none.
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

    /// A generation whose increments have outgrown its base is slower to restore than a new one.
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

/// Processes of one consumer group take over each other's state; other sources have their own.
fn scope(config: &Config) -> String {
    match config.source.kind {
        SourceKind::Kafka => format!("kafka/{}", config.source.kafka.group_id),
        SourceKind::File => "file".into(),
        SourceKind::Stdin => "stdin".into(),
        SourceKind::Http => "http".into(),
    }
}
