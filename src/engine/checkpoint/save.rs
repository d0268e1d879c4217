//! Saves a shard as the chunks of a round.

use serde::Serialize;

use crate::event::PartitionId;

use super::{CheckpointError, Chunk, ChunkKind, Cut, Entries, Extent};
use crate::engine::shard::Shard;

impl Shard {
    /// Number of events since the last cut.
    pub fn unsaved_events(&self) -> u64 {
        self.changes.events
    }

    /// The last offset of `partition` that this state includes.
    pub fn position(&self, partition: &PartitionId) -> Option<i64> {
        self.clocks.get(partition)?.position()
    }

    /// Begins a round, and abandons one in progress. The cut holds the state as it is now;
    /// [`Self::take_slice`] gives the profiles.
    pub fn cut(&mut self, extent: Extent) -> Result<Cut, CheckpointError> {
        if extent == Extent::All {
            self.history.save_all_again();
        }
        let mut chunks = vec![self.rest()?];
        chunks.extend(entries(ChunkKind::Requests, self.history.requests.take_unsaved())?);
        chunks.extend(entries(ChunkKind::FirstUses, self.history.first_uses.take_unsaved())?);
        chunks.extend(entries(ChunkKind::Used, self.history.used.take_unsaved())?);
        let positions = self.clocks.iter();
        let positions =
            positions.filter_map(|(partition, log)| Some((partition.clone(), log.position()?)));
        let mut positions: Vec<_> = positions.collect();
        positions.sort_unstable();
        Ok(Cut { positions, profiles: self.changes.cut(&mut self.profiles, extent), chunks })
    }

    /// The parts that are neither profiles nor remembered requests. They are small, or bounded by
    /// the number of open incidents.
    fn rest(&self) -> Result<Chunk, CheckpointError> {
        let mut rest = Entries::default();
        // The order is that of the type `Rest`.
        let of_fleet = (&self.population, &self.peers, &self.dependence);
        rest.push(&(
            &self.clocks,
            (of_fleet, &self.calibration, &self.unconfirmed, &self.stuffing, &self.classroom),
            &self.decider,
            self.history.first_uses.lengths(),
        ))?;
        Ok(rest.into_chunk(ChunkKind::Rest))
    }

    /// About `count` more profiles of the round in progress; `None` when the round is complete.
    pub fn take_slice(&mut self, count: usize) -> Result<Option<Chunk>, CheckpointError> {
        self.changes.take_slice(&mut self.profiles, count)
    }
}

/// The entries that were added since the last cut; `None` if there are none.
fn entries<T: Serialize>(
    kind: ChunkKind,
    unsaved: impl IntoIterator<Item = T>,
) -> Result<Option<Chunk>, CheckpointError> {
    let mut entries = Entries::default();
    unsaved.into_iter().try_for_each(|entry| entries.push(&entry))?;
    Ok((!entries.is_empty()).then(|| entries.into_chunk(kind)))
}
