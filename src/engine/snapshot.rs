//! A shard's state as bytes, taken in slices while scoring goes on.
//!
//! A round begins with a cut: everything but the profiles is taken at once. Profiles follow in
//! slices between batches; one that is about to change before its slice came is taken just
//! then, so that the round holds the state at the cut whatever happens meanwhile. A round
//! holds the profiles that changed since the last cut, or all of them, and the same of what is
//! remembered of requests.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::decide::Decider;
use crate::detect::calibration::Calibration;
use crate::event::{EventTime, KeyId, PartitionId};
use crate::profile::{PeerRoutes, Population, Profile};

use super::log::Log;
use super::sources::Sources;

/// Version of the bytes. Raised whenever a type that is saved changes its fields: the bytes do
/// not describe themselves. A test holds it against the bytes.
pub const FORMAT: u16 = 1;

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkKind {
    Profiles,
    /// Requests by their identity.
    Requests,
    /// First uses of nonces and signatures.
    FirstUses,
    /// Nonces and signatures that were used within the horizon.
    Used,
    /// Everything else of the shard.
    Rest,
}

impl ChunkKind {
    pub const ALL: [Self; 5] =
        [Self::Profiles, Self::Requests, Self::FirstUses, Self::Used, Self::Rest];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Profiles => "profiles",
            Self::Requests => "requests",
            Self::FirstUses => "first_uses",
            Self::Used => "used",
            Self::Rest => "rest",
        }
    }
}

/// Part of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub kind: ChunkKind,
    pub entries: u32,
    /// Entries one after the other, each in the format of `postcard`.
    pub bytes: Vec<u8>,
}

/// The beginning of a round.
#[derive(Debug)]
pub struct Cut {
    /// The last offset of each partition that the state includes.
    pub positions: Vec<(PartitionId, i64)>,
    /// Profiles that follow in slices.
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
pub enum SnapshotError {
    #[error("the state cannot be saved: {0}")]
    Encode(postcard::Error),
    #[error("a saved state cannot be read ({what}): {reason}")]
    Decode { what: &'static str, reason: postcard::Error },
    #[error("a saved state is not complete: {0} are missing")]
    Missing(&'static str),
}

/// What of a shard is in neither of the other chunks.
pub(super) type Rest = (
    HashMap<PartitionId, Log>,
    (Population, PeerRoutes, Calibration, Sources),
    Decider,
    VecDeque<EventTime>,
    Lengths,
);

/// Of the two generations of first uses.
pub(super) type Lengths = (usize, usize);

/// One profile, and where it stands between two rounds.
#[derive(Debug)]
pub(super) struct Kept {
    /// Boxed: a map keeps room for its growth, which must not cost a profile each.
    pub profile: Box<Profile>,
    /// Since the last cut.
    is_changed: bool,
    /// The round in progress still lacks it.
    is_due: bool,
}

impl Kept {
    pub fn new(profile: Profile) -> Self {
        Self { profile: Box::new(profile), is_changed: false, is_due: false }
    }
}

pub(super) type Profiles = HashMap<KeyId, Kept, foldhash::fast::RandomState>;

/// Entries in the making.
#[derive(Debug, Default)]
pub(super) struct Entries {
    bytes: Vec<u8>,
    count: u32,
}

impl Entries {
    pub fn push(&mut self, entry: &impl Serialize) -> Result<(), SnapshotError> {
        // A failed entry leaves bytes behind, and no round is made of them.
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(entry, bytes).map_err(SnapshotError::Encode)?;
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
) -> Result<(), SnapshotError> {
    let what = chunk.kind.as_str();
    let mut rest = chunk.bytes.as_slice();
    for _ in 0..chunk.entries {
        let (entry, after) = postcard::take_from_bytes(rest)
            .map_err(|reason| SnapshotError::Decode { what, reason })?;
        each(entry);
        rest = after;
    }
    if rest.is_empty() { Ok(()) } else { Err(SnapshotError::Missing("entries of a chunk")) }
}

/// Follows which profiles have changed, and those that the round in progress still lacks.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Changed since the last cut, in the order of their first change.
    changed: Vec<KeyId>,
    /// To be taken, unless they were taken early.
    due: Vec<KeyId>,
    /// Taken early, because they were about to change.
    early: Entries,
    /// A profile that cannot be encoded: the round must not be made.
    failure: Option<SnapshotError>,
    /// Events since the last cut.
    pub events: u64,
}

impl Changes {
    /// To be called before a profile changes.
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

    /// Begins a round; gives the number of its profiles. What an earlier round still lacked
    /// is part of this one only when it holds all.
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

    /// The next profiles of the round, about `count`; `None` when it has all.
    pub fn take_slice(
        &mut self,
        profiles: &mut Profiles,
        count: usize,
    ) -> Result<Option<Chunk>, SnapshotError> {
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
