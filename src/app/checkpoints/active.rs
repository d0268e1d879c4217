//! Advances the checkpoint round that is in progress.

use std::collections::{HashMap, VecDeque};

use tokio::sync::mpsc;
use tokio::task;

use crate::engine::checkpoint::{CheckpointError, Chunk, Cut, FORMAT};
use crate::event::{PartitionId, ShardId};
use crate::store::{Round, RoundId};

use super::writer::Job;
use crate::engine::Engine;

/// Profiles that one turn encodes; this takes some milliseconds.
const SLICE_PROFILES: usize = 1_000;

pub struct Active {
    round: Round,
    step: Step,
}

enum Step {
    /// The chunks of the cut are sent first, then slices of the profiles.
    Chunks(VecDeque<Chunk>),
    /// All chunks are queued; the seal is not.
    Seal,
    /// Everything is queued; the writer has not finished.
    Wait,
}

impl Active {
    pub fn new(id: RoundId, epoch: u64, cut: Cut) -> Self {
        let round = Round { id, epoch, format: FORMAT, chunks: 0, positions: cut.positions };
        Self { round, step: Step::Chunks(cut.chunks.into()) }
    }

    pub fn shard(&self) -> ShardId {
        self.round.id.shard
    }

    pub fn is_of(&self, id: &RoundId) -> bool {
        self.round.id == *id
    }

    /// Whether the round can continue as soon as the queue has room.
    pub fn has_more(&self) -> bool {
        matches!(self.step, Step::Chunks(_))
    }

    fn is_stored(&self, stored: &HashMap<PartitionId, i64>) -> bool {
        let is_stored = |(partition, offset): &(PartitionId, i64)| {
            stored.get(partition).is_some_and(|stored| stored >= offset)
        };
        self.round.positions.iter().all(is_stored)
    }

    /// Queues one chunk if there is room. Queues the seal after the last chunk, once everything
    /// that the round includes is `stored`.
    ///
    /// # Errors
    /// Returns an error for state that cannot be encoded.
    pub fn advance(
        &mut self,
        engine: &mut Engine,
        jobs: &mpsc::Sender<Job>,
        stored: &HashMap<PartitionId, i64>,
    ) -> Result<(), CheckpointError> {
        let Ok(place) = jobs.try_reserve() else { return Ok(()) };
        if let Step::Chunks(waiting) = &mut self.step {
            let shard = self.round.id.shard;
            let chunk = match waiting.pop_front() {
                Some(chunk) => Some(chunk),
                None => task::block_in_place(|| engine.take_slice(shard, SLICE_PROFILES))?,
            };
            if let Some(chunk) = chunk {
                place.send(Job::Chunk(self.round.id.clone(), self.round.chunks, chunk));
                self.round.chunks += 1;
                return Ok(());
            }
            self.step = Step::Seal;
        }
        if matches!(self.step, Step::Seal) && self.is_stored(stored) {
            place.send(Job::Seal(self.round.clone()));
            self.step = Step::Wait;
        }
        Ok(())
    }
}
