//! Which identities were seen within a horizon, in bounded memory.
//!
//! A table of fingerprints, each with the slice of the horizon in which it was seen. Slices
//! expire one after the other; when there is no room, the oldest makes room. An identity
//! belongs to one line of sixteen entries, so that a look touches one place of memory. As a
//! cuckoo filter (Fan et al., CoNEXT 2014) with one bucket an identity, since what is pushed
//! out is old, and a Bloom filter could neither forget nor say when.

use serde::{Deserialize, Serialize};

use crate::event::EventTime;

/// Fingerprints of 28 bits above tags of 4.
type Line = [u32; 16];

const TAG_BITS: u32 = 4;
const TAG: u32 = (1 << TAG_BITS) - 1;

/// What is in the current slice or this many before it is remembered.
const WHOLE_SLICES: i64 = 12;
/// Tags go round: every entry's slice is one of the last so many.
const TAGS: i64 = WHOLE_SLICES + 1;

/// One in so many that were never seen is taken for seen, when all lines are full.
pub const ONE_FALSE_IN: f64 = (1 << 28) as f64 / 16.0;

/// Remembers identities (64-bit hashes with good high and low bits) along event time, or by
/// their number.
///
/// About 5 bytes for each identity of the horizon keep nearly all of them; with less room the
/// horizon is shorter. Without identities it takes no memory.
#[derive(Debug)]
pub struct Sightings {
    lines: Vec<Line>,
    /// A bit a line, set when the line was written since it was saved.
    unsaved: Vec<u64>,
    shape: Shape,
    state: State,
    pushed_out: u64,
}

/// What two tables must have in common to hold the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Shape {
    lines: usize,
    /// Microseconds of event time, or identities.
    ticks_per_slice: i64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct State {
    /// The current slice; every entry is of this or the [`WHOLE_SLICES`] before.
    slice: i64,
    /// Identities that came by their number.
    count: i64,
}

/// Lines as they are saved, and the state of their table then.
#[derive(Debug, Serialize, Deserialize)]
pub struct SavedLines {
    shape: Shape,
    state: State,
    lines: Vec<(u32, Line)>,
}

/// Lines that are saved together: about five megabytes.
const SAVED_LINES: usize = 1 << 16;

impl Sightings {
    /// For [`Self::insert_at`].
    pub fn within(horizon_seconds: f64, bytes: usize) -> Self {
        Self::with_shape(bytes / size_of::<Line>(), (horizon_seconds * 1e6) as i64)
    }

    /// For [`Self::insert_next`]: the last `identities`, nearly all of them.
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

    /// Whether `identity` was seen within the horizon, but for one error in [`ONE_FALSE_IN`].
    pub fn contains(&self, identity: u64) -> bool {
        let fingerprint = fingerprint(identity);
        let line = self.lines.get(self.place(identity));
        line.is_some_and(|line| line.iter().any(|entry| entry & !TAG == fingerprint))
    }

    /// Remembers `identity` as of `time`; true when it was there already. What is older than
    /// the horizon counts as its oldest.
    pub fn insert_at(&mut self, identity: u64, time: EventTime) -> bool {
        self.insert(identity, time.as_micros())
    }

    /// Remembers `identity` as the next one; true when it was there already.
    pub fn insert_next(&mut self, identity: u64) -> bool {
        let is_known = self.insert(identity, self.state.count);
        self.state.count += i64::from(!is_known);
        is_known
    }

    fn insert(&mut self, identity: u64, clock: i64) -> bool {
        let slice = clock.div_euclid(self.shape.ticks_per_slice);
        self.advance_to(slice);
        self.make_room();
        let newest = self.state.slice;
        let entry = fingerprint(identity) | tag(slice.max(newest - WHOLE_SLICES));
        let place = self.place(identity);
        let line = &mut self.lines[place];
        let known = line.iter().position(|known| known & !TAG == entry & !TAG);
        let slot = known.unwrap_or_else(|| oldest(line, newest));
        if known.is_some() && age(line[slot], newest) <= age(entry, newest) {
            return true;
        }
        self.pushed_out += u64::from(known.is_none() && line[slot] != 0);
        line[slot] = entry;
        self.unsaved[place / 64] |= 1 << (place % 64);
        known.is_some()
    }

    /// Whether `time` is a slice or more behind.
    pub fn has_passed(&self, time: EventTime) -> bool {
        time.as_micros().div_euclid(self.shape.ticks_per_slice) + 1 < self.state.slice
    }

    /// Identities that made room for others before the horizon had passed over them, since this
    /// was asked last.
    pub fn take_pushed_out(&mut self) -> u64 {
        std::mem::take(&mut self.pushed_out)
    }

    fn make_room(&mut self) {
        if self.lines.is_empty() {
            self.lines = vec![Line::default(); self.shape.lines];
            self.unsaved = vec![0; self.shape.lines.div_ceil(64)];
        }
    }

    /// Begins `slice`, and forgets what the horizon passes over: their tags are reused.
    fn advance_to(&mut self, slice: i64) {
        if slice <= self.state.slice {
            return;
        }
        let begun = slice.saturating_sub(self.state.slice).min(TAGS);
        self.state.slice = slice;
        for entry in self.lines.iter_mut().flatten() {
            if i64::from(age(*entry, slice)) < begun {
                *entry = 0;
            }
        }
    }

    fn place(&self, identity: u64) -> usize {
        // The high bits, without a division (Lemire 2019, ACM TOMACS 29).
        ((u128::from(identity) * self.shape.lines as u128) >> 64) as usize
    }

    /// The lines that were written since this was called last.
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

    /// Makes [`Self::take_unsaved`] begin with all that there is.
    pub fn save_all_again(&mut self) {
        for (place, line) in self.lines.iter().enumerate() {
            if *line != Line::default() {
                self.unsaved[place / 64] |= 1 << (place % 64);
            }
        }
    }

    /// Puts saved lines in their places. Those of a table of another size or horizon are left
    /// out: where their identities belong is not known, and the horizon begins anew.
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

/// In the place of the tag there is nothing.
const fn fingerprint(identity: u64) -> u32 {
    (identity as u32) << TAG_BITS
}

const fn tag(slice: i64) -> u32 {
    slice.rem_euclid(TAGS) as u32 + 1
}

/// In slices before `newest`.
const fn age(entry: u32, newest: i64) -> u32 {
    let tag = (entry & TAG) as i64;
    (newest.rem_euclid(TAGS) + 1 - tag).rem_euclid(TAGS) as u32
}

/// Where nothing is, or else the oldest entry.
fn oldest(line: &Line, newest: i64) -> usize {
    let rank = |entry: u32| if entry == 0 { u32::MAX } else { age(entry, newest) };
    let ranked = line.iter().enumerate().max_by_key(|(_, entry)| rank(**entry));
    ranked.map_or(0, |(slot, _)| slot)
}

fn set_bits(words: &[u64]) -> impl Iterator<Item = usize> {
    words.iter().enumerate().flat_map(|(index, word)| {
        (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| index * 64 + bit)
    })
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    const HOUR: f64 = 3_600.0;

    fn identity(number: u64) -> u64 {
        foldhash::quality::FixedState::default().hash_one(number)
    }

    fn at(seconds: f64) -> EventTime {
        EventTime::from_seconds(1_700_000_000).plus_seconds(seconds)
    }

    #[test]
    fn what_was_seen_is_known_for_the_horizon_and_forgotten_after() {
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
    fn strangers_are_hardly_ever_taken_for_seen() {
        let mut sightings = Sightings::of_the_last(10_000);
        for number in 0..20_000 {
            sightings.insert_next(identity(number));
        }
        let strangers =
            (1_000_000..3_000_000).filter(|number| sightings.contains(identity(*number)));
        assert!(strangers.count() <= 3, "one in {ONE_FALSE_IN} is expected");
    }

    #[test]
    fn without_room_the_oldest_goes_first() {
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
    fn nearly_all_of_the_last_are_known() {
        let mut sightings = Sightings::of_the_last(100_000);
        for number in 0..500_000 {
            sightings.insert_next(identity(number));
        }
        let kept = (400_000..500_000).filter(|number| sightings.contains(identity(*number)));
        assert!(kept.count() > 98_000);
    }

    #[test]
    fn a_jump_of_the_clock_forgets_and_what_is_late_is_remembered() {
        let mut sightings = Sightings::within(24.0 * HOUR, 1 << 16);
        sightings.insert_at(1, at(0.0));
        sightings.insert_at(2, at(1_000.0 * HOUR));
        assert!(!sightings.contains(1));
        assert!(!sightings.insert_at(1, at(0.0)) && sightings.insert_at(1, at(1_000.0 * HOUR)));
    }

    /// However often it is saved, and however many slices go by in between.
    #[test]
    fn what_was_saved_restores_the_same_table() {
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
}
