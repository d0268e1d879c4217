//! Remembers which identities were seen within a horizon, in bounded memory.
//!
//! The horizon is divided into slices, which expire one after the other. A table holds
//! fingerprints, each with the slice in which it was seen. Each identity belongs to one line of
//! sixteen entries, so that a lookup reads 64 adjacent bytes. If a line is full, a new entry
//! replaces the oldest.
//!
//! The table is like a cuckoo filter (Fan et al., CoNEXT 2014) with one bucket for each identity.
//! It needs no second bucket, because replaced entries are old. A Bloom filter can neither delete
//! entries nor say when they were added.

use serde::{Deserialize, Serialize};

use crate::event::EventTime;

/// Entries: a fingerprint in the upper 28 bits, a tag in the lower 4. Zero is an empty entry.
type Line = [u32; 16];

const TAG_BITS: u32 = 4;
const TAG: u32 = (1 << TAG_BITS) - 1;

/// The table remembers the current slice and this many before it.
const WHOLE_SLICES: i64 = 12;
/// Tags are slice numbers modulo this, which are unique among the remembered slices.
const TAGS: i64 = WHOLE_SLICES + 1;

/// When all lines are full, one in this many unseen identities is reported as seen.
pub const ONE_FALSE_IN: f64 = (1 << 28) as f64 / 16.0;

/// A table of identities: 64-bit hashes whose high and low bits are both well mixed. The horizon
/// is a duration of event time, or a number of identities.
///
/// With about 5 bytes for each identity of the horizon, the table keeps nearly all of them. With
/// less memory, the horizon is shorter. An empty table allocates nothing.
#[derive(Debug)]
pub struct Sightings {
    lines: Vec<Line>,
    /// One bit for each line, set if the line was written since it was last saved.
    unsaved: Vec<u64>,
    shape: Shape,
    state: State,
    pushed_out: u64,
}

/// The shape of a table. Saved lines fit only a table of the same shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Shape {
    lines: usize,
    /// Length of a slice: microseconds of event time, or identities.
    ticks_per_slice: i64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct State {
    /// The current slice. Every entry belongs to it or to one of the [`WHOLE_SLICES`] before.
    slice: i64,
    /// Identities inserted by [`Sightings::insert_next`].
    count: i64,
}

/// Saved lines with their numbers, and the state of their table when they were saved.
#[derive(Debug, Serialize, Deserialize)]
pub struct SavedLines {
    shape: Shape,
    state: State,
    lines: Vec<(u32, Line)>,
}

/// Most lines in one [`SavedLines`]: about five megabytes.
const SAVED_LINES: usize = 1 << 16;

impl Sightings {
    /// A table of at most `bytes` whose horizon is event time, for [`Self::insert_at`].
    pub fn within(horizon_seconds: f64, bytes: usize) -> Self {
        Self::with_shape(bytes / size_of::<Line>(), (horizon_seconds * 1e6) as i64)
    }

    /// A table that keeps nearly all of the last `identities`, for [`Self::insert_next`].
    pub fn of_the_last(identities: usize) -> Self {
        Self::with_shape(identities.div_ceil(10), identities as i64)
    }

    fn with_shape(lines: usize, horizon: i64) -> Self {
        let ticks_per_slice = (horizon / WHOLE_SLICES).max(1);
        Self {
            lines: Vec::new(),
            unsaved: Vec::new(),
            shape: Shape { lines: lines.max(1), ticks_per_slice },
            state: State { slice: i64::MIN, count: 0 },
            pushed_out: 0,
        }
    }

    /// Whether `identity` was seen within the horizon. The rate of false positives is one in
    /// [`ONE_FALSE_IN`].
    pub fn contains(&self, identity: u64) -> bool {
        let line = self.lines.get(self.place(identity));
        line.is_some_and(|line| slot_of(line, fingerprint(identity)).is_some())
    }

    /// Adds `identity` at `time`. Returns whether it was in the table already. A time before the
    /// horizon counts as the oldest slice.
    pub fn insert_at(&mut self, identity: u64, time: EventTime) -> bool {
        self.insert(identity, time.as_micros())
    }

    /// Adds `identity` as the next one. Returns whether it was in the table already.
    pub fn insert_next(&mut self, identity: u64) -> bool {
        let is_known = self.insert(identity, self.state.count);
        self.state.count += i64::from(!is_known);
        is_known
    }

    fn insert(&mut self, identity: u64, clock: i64) -> bool {
        let slice = clock.div_euclid(self.shape.ticks_per_slice);
        self.advance_to(slice);
        self.make_room();
        let newest = tag(self.state.slice);
        let entry = fingerprint(identity) | tag(slice.max(self.state.slice - WHOLE_SLICES));
        let place = self.place(identity);
        let line = &mut self.lines[place];
        let known = slot_of(line, entry & !TAG);
        let slot = known.unwrap_or_else(|| oldest(line, newest));
        if known.is_some() && age(line[slot], newest) <= age(entry, newest) {
            return true;
        }
        self.pushed_out += u64::from(known.is_none() && line[slot] != 0);
        line[slot] = entry;
        self.unsaved[place / 64] |= 1 << (place % 64);
        known.is_some()
    }

    /// Whether at least one whole slice lies between `time` and the current slice.
    pub fn has_passed(&self, time: EventTime) -> bool {
        time.as_micros().div_euclid(self.shape.ticks_per_slice) + 1 < self.state.slice
    }

    /// Number of identities that were replaced before they expired, since the last call.
    pub fn take_pushed_out(&mut self) -> u64 {
        std::mem::take(&mut self.pushed_out)
    }

    fn make_room(&mut self) {
        if self.lines.is_empty() {
            self.lines = vec![Line::default(); self.shape.lines];
            self.unsaved = vec![0; self.shape.lines.div_ceil(64)];
        }
    }

    /// Begins `slice` and clears expired entries, because their tags are reused.
    fn advance_to(&mut self, slice: i64) {
        if slice <= self.state.slice {
            return;
        }
        let begun = slice.saturating_sub(self.state.slice).min(TAGS) as u32;
        self.state.slice = slice;
        let newest = tag(slice);
        for entry in self.lines.iter_mut().flatten() {
            // Without a branch, so that several entries are done at once.
            *entry = if age(*entry, newest) < begun { 0 } else { *entry };
        }
    }

    fn place(&self, identity: u64) -> usize {
        // Maps the high bits to a line without a division (Lemire 2019, ACM TOMACS 29).
        ((u128::from(identity) * self.shape.lines as u128) >> 64) as usize
    }

    /// Returns the lines that were written since the last call.
    pub fn take_unsaved(&mut self) -> Vec<SavedLines> {
        let places: Vec<usize> = set_bits(&self.unsaved).collect();
        self.unsaved.fill(0);
        let saved = |places: &[usize]| SavedLines {
            shape: self.shape,
            state: self.state,
            lines: places.iter().map(|place| (*place as u32, self.lines[*place])).collect(),
        };
        places.chunks(SAVED_LINES).map(saved).collect()
    }

    /// Makes the next [`Self::take_unsaved`] return all lines that are not empty.
    pub fn save_all_again(&mut self) {
        for (place, line) in self.lines.iter().enumerate() {
            if *line != Line::default() {
                self.unsaved[place / 64] |= 1 << (place % 64);
            }
        }
    }

    /// Restores saved lines. Lines of a table of another size or horizon are ignored, because the
    /// lines of their identities in this table are unknown. The horizon then begins empty.
    pub fn restore(&mut self, saved: &SavedLines) {
        if saved.shape != self.shape {
            return;
        }
        self.advance_to(saved.state.slice);
        self.make_room();
        self.state.count = saved.state.count;
        for (place, line) in &saved.lines {
            if let Some(target) = self.lines.get_mut(*place as usize) {
                *target = *line;
            }
        }
    }
}

/// The entry of an identity with a tag of zero.
const fn fingerprint(identity: u64) -> u32 {
    (identity as u32) << TAG_BITS
}

const fn tag(slice: i64) -> u32 {
    slice.rem_euclid(TAGS) as u32 + 1
}

/// Age of an entry that is not empty: slices before the one with the tag `newest`.
const fn age(entry: u32, newest: u32) -> u32 {
    let tag = entry & TAG;
    // Not a remainder: a comparison is done for several entries at once.
    let wrap = if tag > newest { TAGS as u32 } else { 0 };
    newest.wrapping_sub(tag).wrapping_add(wrap)
}

/// The first entry with this fingerprint. All entries are compared at once: a search that ends
/// early costs a mispredicted branch.
fn slot_of(line: &Line, fingerprint: u32) -> Option<usize> {
    let is_same = |entry: u32| u32::from(entry & !TAG == fingerprint);
    let same = line.iter().enumerate().fold(0, |all, (slot, entry)| all | is_same(*entry) << slot);
    (same != 0).then_some(same.trailing_zeros() as usize)
}

/// Index of the last empty entry, or else of the last of the oldest. `newest` is a tag.
fn oldest(line: &Line, newest: u32) -> usize {
    let rank = |entry: u32| if entry == 0 { TAG } else { age(entry, newest) };
    let ranked = line.iter().enumerate().map(|(slot, entry)| rank(*entry) << 4 | slot as u32);
    ranked.fold(0, u32::max) as usize & 15
}

fn set_bits(words: &[u64]) -> impl Iterator<Item = usize> {
    words.iter().enumerate().flat_map(|(index, word)| {
        (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| index * 64 + bit)
    })
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use proptest::prelude::*;

    use super::*;

    const HOUR: f64 = 3_600.0;

    fn identity(number: u64) -> u64 {
        foldhash::quality::FixedState::default().hash_one(number)
    }

    fn at(seconds: f64) -> EventTime {
        EventTime::from_seconds(1_700_000_000).plus_seconds(seconds)
    }

    #[test]
    fn identities_are_known_within_the_horizon_and_forgotten_after_it() {
        let mut sightings = Sightings::within(24.0 * HOUR, 1 << 20);
        for number in 0..30_000 {
            assert!(!sightings.insert_at(identity(number), at(number as f64 * 10.0)), "{number}");
            let a_day_before = number.saturating_sub(8_640);
            assert!(sightings.contains(identity(a_day_before)), "{number}");
        }
        let remembered = (0..30_000).filter(|number| sightings.contains(identity(*number)));
        assert!(remembered.count() <= 8_640 * 13 / 12 + 1);
        assert_eq!(sightings.take_pushed_out(), 0);
    }

    #[test]
    fn false_positives_are_rare() {
        let mut sightings = Sightings::of_the_last(10_000);
        for number in 0..20_000 {
            sightings.insert_next(identity(number));
        }
        let strangers =
            (1_000_000..3_000_000).filter(|number| sightings.contains(identity(*number)));
        assert!(strangers.count() <= 3, "one in {ONE_FALSE_IN} is expected");
    }

    #[test]
    fn new_identities_replace_the_oldest_in_a_full_table() {
        let mut sightings = Sightings::within(24.0 * HOUR, 64 << 10);
        for number in 0..40_000 {
            sightings.insert_at(identity(number), at(number as f64));
        }
        assert!(sightings.take_pushed_out() > 20_000);
        let kept = |from: u64| {
            (from..from + 4_000).filter(|number| sightings.contains(identity(*number))).count()
        };
        assert_eq!((kept(0), kept(36_000)), (0, 4_000));
    }

    #[test]
    fn nearly_all_of_the_last_identities_are_known() {
        let mut sightings = Sightings::of_the_last(100_000);
        for number in 0..500_000 {
            sightings.insert_next(identity(number));
        }
        let kept = (400_000..500_000).filter(|number| sightings.contains(identity(*number)));
        assert!(kept.count() > 98_000);
    }

    #[test]
    fn a_jump_in_time_clears_the_table_and_late_identities_are_remembered() {
        let mut sightings = Sightings::within(24.0 * HOUR, 1 << 16);
        sightings.insert_at(1, at(0.0));
        sightings.insert_at(2, at(1_000.0 * HOUR));
        assert!(!sightings.contains(1));
        assert!(!sightings.insert_at(1, at(0.0)) && sightings.insert_at(1, at(1_000.0 * HOUR)));
    }

    /// The result does not depend on how often the table is saved, nor on the slices in between.
    #[test]
    fn saved_lines_restore_the_same_table() {
        for saved_every in [7, 100, 2_000] {
            let mut sightings = Sightings::within(24.0 * HOUR, 1 << 13);
            let mut restored = Sightings::within(24.0 * HOUR, 1 << 13);
            for step in 0..4_000u64 {
                let time = at(step as f64 * 60.0 + (step / 1_000) as f64 * 20.0 * HOUR);
                sightings.insert_at(identity(step % 700 + step / 9), time);
                if step % saved_every == 0 {
                    sightings.take_unsaved().iter().for_each(|saved| restored.restore(saved));
                    assert_eq!(restored.lines, sightings.lines);
                }
            }
            sightings.save_all_again();
            let mut anew = Sightings::within(24.0 * HOUR, 1 << 13);
            sightings.take_unsaved().iter().for_each(|saved| anew.restore(saved));
            assert_eq!(anew.lines, sightings.lines);
            let mut larger = Sightings::within(24.0 * HOUR, 1 << 14);
            larger.restore(&sightings.take_unsaved().pop().unwrap_or(SavedLines {
                shape: sightings.shape,
                state: sightings.state,
                lines: vec![(0, [1; 16])],
            }));
            assert!(larger.lines.is_empty());
        }
    }

    proptest! {
        #[test]
        fn a_line_is_searched_as_if_entry_by_entry(
            entries in proptest::array::uniform16((0u32..4, 0u32..=13)),
            slice in 0i64..40,
        ) {
            let line: Line = entries.map(|(mark, tag)| if tag == 0 { 0 } else { mark << TAG_BITS | tag });
            let age = |entry: u32| (slice % TAGS + 1 - i64::from(entry & TAG)).rem_euclid(TAGS);
            let rank = |slot: &usize| if line[*slot] == 0 { i64::MAX } else { age(line[*slot]) };
            prop_assert_eq!(Some(oldest(&line, tag(slice))), (0..16).max_by_key(rank));
            for print in (0..4).map(|mark| mark << TAG_BITS) {
                let first = line.iter().position(|entry| entry & !TAG == print);
                prop_assert_eq!(slot_of(&line, print), first);
            }
        }
    }
}
