//! A shard into the chunks of a round.

use serde::Serialize;

use crate::event::PartitionId;

use super::shard::Shard;
use super::snapshot::{Chunk, ChunkKind, Cut, Entries, Extent, SnapshotError};

/// Revocations count in the budget for this long.
const HOUR_SECONDS: f64 = 3_600.0;

impl Shard {
    /// Events since the last cut.
    pub fn unsaved_events(&self) -> u64 {
        self.changes.events
    }

    /// The last offset of `partition` that this state includes.
    pub fn position(&self, partition: &PartitionId) -> Option<i64> {
        self.logs.get(partition)?.position()
    }

    /// Begins a round, and gives up one that is in progress: the state as it is now, with the
    /// profiles to follow by [`Self::take_slice`].
    pub fn cut(&mut self, extent: Extent) -> Result<Cut, SnapshotError> {
        if extent == Extent::All {
            self.memory.save_all_again();
        }
        let mut chunks = vec![self.rest()?];
        chunks.extend(entries(ChunkKind::Requests, self.memory.requests.take_unsaved())?);
        chunks.extend(entries(ChunkKind::FirstUses, self.memory.first_uses.take_unsaved())?);
        chunks.extend(entries(ChunkKind::Used, self.memory.used.take_unsaved())?);
        let positions = self.logs.iter();
        let positions =
            positions.filter_map(|(partition, log)| Some((partition.clone(), log.position()?)));
        let mut positions: Vec<_> = positions.collect();
        positions.sort_unstable();
        Ok(Cut { positions, profiles: self.changes.cut(&mut self.profiles, extent), chunks })
    }

    /// What is not a profile and not used once: small, or bounded by the open incidents.
    fn rest(&mut self) -> Result<Chunk, SnapshotError> {
        let newest = self.revocations.iter().max().copied();
        self.revocations
            .retain(|time| newest.is_some_and(|newest| newest.seconds_since(*time) < HOUR_SECONDS));
        let mut rest = Entries::default();
        // As `Rest` has it.
        rest.push(&(
            &self.logs,
            (&self.population, &self.peers, &self.calibration, &self.sources),
            &self.decider,
            &self.revocations,
            self.memory.first_uses.lengths(),
        ))?;
        Ok(rest.into_chunk(ChunkKind::Rest))
    }

    /// About `count` more profiles of the round in progress; `None` when it has all.
    pub fn take_slice(&mut self, count: usize) -> Result<Option<Chunk>, SnapshotError> {
        self.changes.take_slice(&mut self.profiles, count)
    }
}

/// What was remembered since the last cut; nothing when that is nothing.
fn entries<T: Serialize>(
    kind: ChunkKind,
    unsaved: impl IntoIterator<Item = T>,
) -> Result<Option<Chunk>, SnapshotError> {
    let mut entries = Entries::default();
    unsaved.into_iter().try_for_each(|entry| entries.push(&entry))?;
    Ok((!entries.is_empty()).then(|| entries.into_chunk(kind)))
}
