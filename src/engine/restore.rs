//! A shard from the chunks of its rounds.

use crate::config::DetectConfig;
use crate::decide::Policy;
use crate::detect::replay::FirstUse;
use crate::event::KeyId;
use crate::profile::Profile;
use crate::profile::sightings::SavedLines;

use super::memory::Memory;
use super::shard::Shard;
use super::snapshot::{Chunk, ChunkKind, Kept, Profiles, Rest, SnapshotError, read_entries};

/// Takes the chunks of a generation of rounds, oldest first; then becomes a shard.
#[derive(Default)]
pub struct Restoration {
    profiles: Profiles,
    requests: Vec<SavedLines>,
    first_uses: Vec<(u64, FirstUse)>,
    used: Vec<SavedLines>,
    rest: Option<Rest>,
}

impl Restoration {
    /// # Errors
    /// Bytes that are not what this version writes.
    pub fn add(&mut self, chunk: &Chunk) -> Result<(), SnapshotError> {
        match chunk.kind {
            // A later round's word counts.
            ChunkKind::Profiles => read_entries(chunk, |(key_id, profile): (KeyId, Profile)| {
                self.profiles.insert(key_id, Kept::new(profile));
            }),
            ChunkKind::Requests => read_entries(chunk, |entry| self.requests.push(entry)),
            ChunkKind::FirstUses => read_entries(chunk, |entry| self.first_uses.push(entry)),
            ChunkKind::Used => read_entries(chunk, |entry| self.used.push(entry)),
            ChunkKind::Rest => read_entries(chunk, |rest| self.rest = Some(rest)),
        }
    }

    pub(super) fn into_shard(
        self,
        config: &DetectConfig,
        policy: &mut Policy,
    ) -> Result<Shard, SnapshotError> {
        let rest = self.rest.ok_or(SnapshotError::Missing("logs and incidents"))?;
        let (logs, shared, mut decider, revocations, first_uses) = rest;
        let (population, peers, calibration, sources) = shared;
        let mut memory = Memory::new(config);
        memory
            .restore(&self.requests, (first_uses, &self.first_uses), &self.used)
            .ok_or(SnapshotError::Missing("first uses of nonces"))?;
        decider.set_closing_times(policy);
        policy.remember_revocations(revocations.iter().copied());
        Ok(Shard {
            profiles: self.profiles,
            population,
            peers,
            calibration,
            sources,
            memory,
            logs,
            decider,
            revocations,
            ..Shard::new(config)
        })
    }
}
