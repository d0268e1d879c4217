//! Saves a shard's state as bytes, in slices while scoring goes on.
//!
//! A round begins with a cut, which takes everything but the profiles at once. The profiles follow
//! in slices between batches. A profile that is about to change before its slice comes is taken
//! first, so that the round holds the state at the cut whatever happens meanwhile. A round holds
//! the profiles and the remembered requests that changed since the last cut, or all of them.

mod restore;
mod save;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

use crate::decide::Decider;
use crate::detect::calibration::Calibration;
use crate::detect::unconfirmed::Unconfirmed;
use crate::event::{KeyId, PartitionId};
use crate::profile::{Dependence, PeerRoutes, Population, Profile};

use super::lessons::Classroom;
use super::partition_clock::PartitionClock;
use super::stuffing::StuffingTables;

pub use self::restore::Restoration;

/// Version of the bytes. It must be raised whenever a saved type changes its fields, because the
/// bytes do not describe themselves. A test compares saved bytes with this version.
pub const FORMAT: u16 = 5;

/// The kind of entries in a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum ChunkKind {
    Profiles,
    /// Identities of requests.
    Requests,
    /// First uses of nonces and signatures.
    FirstUses,
    /// Nonces and signatures that were used within the horizon.
    Used,
    /// Everything else of the shard.
    Rest,
}

impl ChunkKind {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// A part of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub kind: ChunkKind,
    pub entries: u32,
    /// The entries one after the other, each in the format of `postcard`.
    pub bytes: Vec<u8>,
}

/// The first part of a round, with everything but the profiles.
#[derive(Debug)]
pub struct Cut {
    /// The last offset of each partition that the state includes.
    pub positions: Vec<(PartitionId, i64)>,
    /// Number of profiles that follow in slices.
    pub profiles: usize,
    pub chunks: Vec<Chunk>,
}

/// Which profiles a round holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Changed,
    All,
}

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("the state cannot be saved: {0}")]
    Encode(postcard::Error),
    #[error("a saved state cannot be read ({what}): {reason}")]
    Decode { what: &'static str, reason: postcard::Error },
    #[error("a saved state is not complete: {0} are missing")]
    Missing(&'static str),
}

/// The parts of a shard that no other chunk holds.
pub(super) type Rest = (
    HashMap<PartitionId, PartitionClock>,
    ((Population, PeerRoutes, Dependence), Calibration, Unconfirmed, StuffingTables, Classroom),
    Decider,
    Lengths,
);

/// Lengths of the two generations of first uses.
pub(super) type Lengths = (usize, usize);

/// One profile, with its state between two rounds.
#[derive(Debug, Serialize)]
pub(super) struct Kept {
    /// Boxed: a map reserves room for growth, and that room must not cost a profile for each entry.
    pub profile: Box<Profile>,
    /// Whether the profile changed since the last cut.
    #[serde(skip)]
    is_changed: bool,
    /// Whether the round in progress still lacks the profile.
    #[serde(skip)]
    is_due: bool,
}

impl Kept {
    pub fn new(profile: Profile) -> Self {
        Self { profile: Box::new(profile), is_changed: false, is_due: false }
    }
}

pub(super) type Profiles = HashMap<KeyId, Kept, foldhash::fast::RandomState>;

/// Entries of a chunk that is being built.
#[derive(Debug, Default)]
pub(super) struct Entries {
    bytes: Vec<u8>,
    count: u32,
}

impl Entries {
    pub fn push(&mut self, entry: &impl Serialize) -> Result<(), CheckpointError> {
        // A failed entry loses the bytes before it. The caller then abandons the round.
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(entry, bytes).map_err(CheckpointError::Encode)?;
        self.count += 1;
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn into_chunk(self, kind: ChunkKind) -> Chunk {
        Chunk { kind, entries: self.count, bytes: self.bytes }
    }
}

/// Calls `each` with every entry of a chunk, in order.
pub(super) fn read_entries<'a, T: Deserialize<'a>>(
    chunk: &'a Chunk,
    mut each: impl FnMut(T),
) -> Result<(), CheckpointError> {
    let what = chunk.kind.as_str();
    let mut rest = chunk.bytes.as_slice();
    for _ in 0..chunk.entries {
        let (entry, after) = postcard::take_from_bytes(rest)
            .map_err(|reason| CheckpointError::Decode { what, reason })?;
        each(entry);
        rest = after;
    }
    if rest.is_empty() { Ok(()) } else { Err(CheckpointError::Missing("entries of a chunk")) }
}

/// Tracks which profiles have changed, and which ones the round in progress still lacks.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Keys whose profiles changed since the last cut, in the order of their first change.
    changed: Vec<KeyId>,
    /// Keys whose profiles are to be taken, unless they were taken early.
    due: Vec<KeyId>,
    /// Profiles taken early, because they were about to change.
    early: Entries,
    /// A profile could not be encoded: the round must be abandoned.
    failure: Option<CheckpointError>,
    /// Events since the last cut.
    pub events: u64,
}

impl Changes {
    /// Notes that a profile is about to change. The caller must call it before each change.
    pub fn note(&mut self, key_id: &KeyId, kept: &mut Kept) {
        if kept.is_due {
            kept.is_due = false;
            if let Err(error) = self.early.push(&(key_id, &*kept.profile)) {
                self.failure = Some(error);
            }
        }
        if !kept.is_changed {
            kept.is_changed = true;
            self.changed.push(key_id.clone());
        }
    }

    /// Begins a round; returns the number of its profiles. A round with [`Extent::Changed`] leaves
    /// out profiles that an abandoned round still lacked.
    pub fn cut(&mut self, profiles: &mut Profiles, extent: Extent) -> usize {
        let changed = std::mem::take(&mut self.changed);
        self.early = Entries::default();
        self.failure = None;
        self.events = 0;
        match extent {
            Extent::All => {
                self.due = profiles.keys().cloned().collect();
                profiles.values_mut().for_each(Kept::make_due);
            }
            Extent::Changed => {
                self.due = changed;
                let due = self.due.iter();
                due.for_each(|key_id| {
                    if let Some(kept) = profiles.get_mut(key_id) {
                        kept.make_due();
                    }
                });
            }
        }
        self.due.len()
    }

    /// The next profiles of the round, about `count`; `None` when the round is complete.
    pub fn take_slice(
        &mut self,
        profiles: &mut Profiles,
        count: usize,
    ) -> Result<Option<Chunk>, CheckpointError> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let mut entries = std::mem::take(&mut self.early);
        while (entries.count as usize) < count
            && let Some(key_id) = self.due.pop()
        {
            if let Some(kept) = profiles.get_mut(&key_id).filter(|kept| kept.is_due) {
                kept.is_due = false;
                entries.push(&(&key_id, &*kept.profile))?;
            }
        }
        Ok((entries.count > 0).then(|| entries.into_chunk(ChunkKind::Profiles)))
    }
}

impl Kept {
    fn make_due(&mut self) {
        (self.is_changed, self.is_due) = (false, true);
    }
}
