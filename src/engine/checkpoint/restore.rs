//! Restores a shard from the chunks of its rounds.

use serde::Serialize;

use crate::config::DetectConfig;
use crate::decide::Policy;
use crate::detect::replay::FirstUse;
use crate::event::KeyId;
use crate::profile::Profile;
use crate::profile::sightings::SavedLines;

use super::{CheckpointError, Chunk, ChunkKind, Kept, Profiles, Rest, read_entries};
use crate::engine::request_history::RequestHistory;
use crate::engine::shard::Shard;

/// Collects the chunks of a generation of rounds, oldest first, and builds a shard from them.
///
/// It is serializable so that a test can compare the names and types of saved fields with the
/// format.
#[derive(Default, Serialize)]
pub struct Restoration {
    profiles: Profiles,
    requests: Vec<SavedLines>,
    first_uses: Vec<(u64, FirstUse)>,
    used: Vec<SavedLines>,
    rest: Option<Rest>,
}

impl Restoration {
    /// Adds a chunk.
    ///
    /// # Errors
    /// The bytes are not what this version writes.
    pub fn add(&mut self, chunk: &Chunk) -> Result<(), CheckpointError> {
        match chunk.kind {
            // A later round replaces the profiles of earlier ones.
            ChunkKind::Profiles => read_entries(chunk, |(key_id, profile): (KeyId, Profile)| {
                self.profiles.insert(key_id, Kept::new(profile));
            }),
            ChunkKind::Requests => read_entries(chunk, |entry| self.requests.push(entry)),
            ChunkKind::FirstUses => read_entries(chunk, |entry| self.first_uses.push(entry)),
            ChunkKind::Used => read_entries(chunk, |entry| self.used.push(entry)),
            ChunkKind::Rest => read_entries(chunk, |rest| self.rest = Some(rest)),
        }
    }

    pub(in crate::engine) fn into_shard(
        self,
        config: &DetectConfig,
        policy: &Policy,
    ) -> Result<Shard, CheckpointError> {
        let rest = self.rest.ok_or(CheckpointError::Missing("logs and incidents"))?;
        let (clocks, shared, mut decider, first_uses) = rest;
        let (of_fleet, calibration, unconfirmed, stuffing, classroom) = shared;
        let (population, peers, dependence) = of_fleet;
        let mut history = RequestHistory::new(config);
        history
            .restore(&self.requests, (first_uses, &self.first_uses), &self.used)
            .ok_or(CheckpointError::Missing("first uses of nonces"))?;
        decider.set_closing_times(policy);
        Ok(Shard {
            profiles: self.profiles,
            population,
            peers,
            dependence,
            calibration,
            unconfirmed,
            stuffing,
            classroom,
            history,
            clocks,
            decider,
            ..Shard::new(config)
        })
    }
}
