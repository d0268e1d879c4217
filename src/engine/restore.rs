//! A shard from the chunks of its rounds.

use crate::decide::Policy;
use crate::detect::replay::FirstUse;
use crate::event::KeyId;
use crate::profile::{Profile, Recent};

use super::shard::{MEMORY_ENTRIES, Shard};
use super::snapshot::{
    Chunk, ChunkKind, Kept, Lengths, Profiles, Rest, SnapshotError, read_entries,
};

/// Takes the chunks of a generation of rounds, oldest first; then becomes a shard.
#[derive(Default)]
pub struct Restoration {
    profiles: Profiles,
    requests: Vec<(u64, ())>,
    used_once: Vec<(u64, FirstUse)>,
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
            ChunkKind::UsedOnce => read_entries(chunk, |entry| self.used_once.push(entry)),
            ChunkKind::Rest => read_entries(chunk, |rest| self.rest = Some(rest)),
        }
    }

    pub(super) fn into_shard(self, policy: &mut Policy) -> Result<Shard, SnapshotError> {
        let rest = self.rest.ok_or(SnapshotError::Missing("logs and incidents"))?;
        let (logs, shared, mut decider, revocations, requests, used_once) = rest;
        let (population, peers, calibration, sources) = shared;
        decider.set_closing_times(policy);
        policy.remember_revocations(revocations.iter().copied());
        Ok(Shard {
            profiles: self.profiles,
            population,
            peers,
            calibration,
            sources,
            requests: memory(requests, &self.requests, "requests")?,
            used_once: memory(used_once, &self.used_once, "nonces")?,
            logs,
            decider,
            revocations,
            ..Shard::default()
        })
    }
}

fn memory<V: Copy>(
    lengths: Lengths,
    entries: &[(u64, V)],
    what: &'static str,
) -> Result<Recent<V>, SnapshotError> {
    Recent::restore(MEMORY_ENTRIES, lengths, entries).ok_or(SnapshotError::Missing(what))
}
