//! Remembers the items that a key uses repeatedly, such as routes or clients, in a bounded set.
//!
//! It also counts how often the key uses a new item. An observation is one hour in which an item
//! was used.

use serde::{Deserialize, Serialize};

use crate::event::EventTime;

/// Weight of one observation. Weights are in quarters of an observation.
const OBSERVATION: u16 = 4;
/// Weight of a suspicious observation.
const SUSPICIOUS: u16 = 2;
/// Weight from which an item is known: three observations.
const KNOWN: u16 = 3 * OBSERVATION;
/// An item that is used again after at least this many hours is known at once, so that daily,
/// weekly and monthly uses become known.
const COMES_AGAIN_HOURS: u16 = 20;
/// Counts are halved when they reach this weight: about a fortnight of a key with a handful of
/// routes.
const MAX_OBSERVATIONS: u16 = 2_000 * OBSERVATION;
/// The bit of the mark in [`Use::weight`]. It is above all weights.
const MARK: u16 = 1 << 15;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Use {
    id: u32,
    /// Weight, with [`MARK`] if the item is marked.
    weight: u16,
    /// Hour of the last observation. It wraps after seven years.
    hour: u16,
}

impl Use {
    fn weight(self) -> u16 {
        self.weight & !MARK
    }

    fn is_own(self, hour: u16) -> bool {
        let comes_again = hour.wrapping_sub(self.hour) >= COMES_AGAIN_HOURS;
        self.weight() >= KNOWN || self.weight() >= OBSERVATION && comes_again
    }
}

/// At most `MAX` items of one key. It takes 24 bytes, and 8 bytes on the heap for each item.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Repertoire<const MAX: usize> {
    /// Sorted by id. A boxed slice has no spare capacity: there are many sets, and they seldom
    /// grow.
    uses: Box<[Use]>,
    /// Decayed weight of all observations.
    observations: u16,
    /// Decayed weight of observations of items that were not remembered.
    misses: u16,
    hour: u16,
    /// Requests of the current hour with items that are not known.
    fresh: u8,
    /// Items added in the current hour.
    taken_up: u8,
}

/// A key's use of one remembered item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// The key has used the item in three hours, or again after most of a day.
    pub is_known: bool,
    /// Observations before the current hour.
    pub observations: f64,
    /// The item was marked when it was added, or by [`Repertoire::mark`].
    pub is_marked: bool,
    /// The item was learned in the current hour already.
    pub is_counted: bool,
}

fn hour_of(time: EventTime) -> u16 {
    time.as_micros().div_euclid(3_600_000_000) as u16
}

impl<const MAX: usize> Repertoire<MAX> {
    /// The use of item `id` at `time`. `None` if the item is not remembered.
    pub fn usage(&self, id: u32, time: EventTime) -> Option<Usage> {
        let found = self.uses[self.place(id).ok()?];
        let hour = hour_of(time);
        let is_counted = found.hour == hour;
        let before =
            if is_counted { found.weight().saturating_sub(OBSERVATION) } else { found.weight() };
        Some(Usage {
            is_known: found.is_own(hour),
            observations: f64::from(before) / f64::from(OBSERVATION),
            is_marked: found.weight & MARK != 0,
            is_counted,
        })
    }

    fn place(&self, id: u32) -> Result<usize, usize> {
        self.uses.binary_search_by_key(&id, |found| found.id)
    }

    /// Counts a request with an item that is not known.
    pub fn count_fresh(&mut self, time: EventTime) {
        self.begin_hour(hour_of(time));
        self.fresh = self.fresh.saturating_add(1);
    }

    fn begin_hour(&mut self, hour: u16) {
        if hour != self.hour {
            (self.hour, self.fresh, self.taken_up) = (hour, 0, 0);
        }
    }

    /// Requests of the current hour with items that are not known, at most 255.
    pub fn fresh_requests(&self) -> u16 {
        u16::from(self.fresh)
    }

    /// Number of remembered items.
    pub fn remembered(&self) -> u16 {
        u16::try_from(self.uses.len()).unwrap_or(u16::MAX)
    }

    /// Decayed number of observations of all items.
    pub fn observations(&self) -> f64 {
        f64::from(self.observations) / f64::from(OBSERVATION)
    }

    /// Decayed number of observations of items that were not remembered.
    pub fn misses(&self) -> f64 {
        f64::from(self.misses) / f64::from(OBSERVATION)
    }

    /// Number of items that were added before the current hour and did not become known.
    pub fn one_offs(&self) -> f64 {
        let own = self.uses.iter().filter(|found| found.weight() >= KNOWN).count();
        (self.misses() - f64::from(self.taken_up) - own as f64).max(0.0)
    }

    /// Whether the set is full. The key may then have used more items than are remembered.
    pub fn is_full(&self) -> bool {
        self.uses.len() >= MAX
    }

    /// Ids of the known items, most used first.
    pub fn known(&self) -> Vec<u32> {
        let mut uses = self.uses.to_vec();
        uses.sort_by_key(|found| std::cmp::Reverse(found.weight()));
        uses.iter().filter(|found| found.weight() >= KNOWN).map(|found| found.id).collect()
    }

    /// Learns a use of item `id`. Only the first use in an hour counts. Returns whether the item
    /// was added just now.
    pub fn learn(
        &mut self,
        id: u32,
        time: EventTime,
        is_marked: bool,
        is_suspicious: bool,
    ) -> bool {
        let gain = if is_suspicious { SUSPICIOUS } else { OBSERVATION };
        let hour = hour_of(time);
        let place = match self.place(id) {
            Ok(place) => {
                self.learn_again(place, hour, gain, is_suspicious);
                return false;
            }
            Err(place) => place,
        };
        let mark = if is_marked { MARK } else { 0 };
        self.insert(place, Use { id, weight: gain | mark, hour });
        self.misses = self.misses.saturating_add(gain);
        self.begin_hour(hour);
        self.taken_up = self.taken_up.saturating_add(1);
        self.count(gain);
        true
    }

    /// Marks item `id`, if it is remembered.
    pub fn mark(&mut self, id: u32) {
        if let Ok(place) = self.place(id) {
            self.uses[place].weight |= MARK;
        }
    }

    /// Makes these items known, as far as they are remembered.
    pub fn take_up(&mut self, ids: impl Iterator<Item = u32>) {
        for id in ids {
            if let Ok(place) = self.place(id) {
                let found = &mut self.uses[place];
                found.weight = found.weight().max(KNOWN) | found.weight & MARK;
            }
        }
    }

    fn learn_again(&mut self, place: usize, hour: u16, gain: u16, is_suspicious: bool) {
        let found = &mut self.uses[place];
        if found.hour == hour {
            return;
        }
        // A use after this long has full weight even if it is suspicious, because the first use
        // was reported.
        let comes_again = hour.wrapping_sub(found.hour) >= COMES_AGAIN_HOURS;
        let gain = if comes_again { OBSERVATION } else { gain };
        let mut weight = (found.weight() + gain).min(MAX_OBSERVATIONS);
        if found.is_own(hour) && !is_suspicious {
            weight = weight.max(KNOWN);
        }
        (found.weight, found.hour) = (weight | found.weight & MARK, hour);
        self.count(gain);
    }

    fn insert(&mut self, place: usize, new: Use) {
        let mut uses = std::mem::take(&mut self.uses).into_vec();
        let mut place = place;
        if uses.len() >= MAX {
            // Replace the item with the least weight, and among these the least recently used.
            let age = |found: &Use| new.hour.wrapping_sub(found.hour);
            let worth = |found: &Use| (found.weight(), std::cmp::Reverse(age(found)));
            if let Some(least) = (0..uses.len()).min_by_key(|at| worth(&uses[*at])) {
                uses.remove(least);
                place -= usize::from(least < place);
            }
        }
        uses.reserve_exact(1);
        uses.insert(place, new);
        self.uses = uses.into_boxed_slice();
    }

    fn count(&mut self, gain: u16) {
        self.observations = self.observations.saturating_add(gain);
        if self.observations > MAX_OBSERVATIONS {
            self.observations /= 2;
            self.misses /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;

    fn at(hour: i64) -> EventTime {
        EventTime::from_seconds(hour * HOUR)
    }

    #[test]
    fn an_item_becomes_known_after_hours_and_not_after_many_requests() {
        let mut routes = Repertoire::<400>::default();
        for request in 0..5_000 {
            routes.learn(7, EventTime::from_seconds(request / 2), false, false);
        }
        let usage = routes.usage(7, EventTime::from_seconds(2_500));
        assert!(usage.is_some_and(|usage| !usage.is_known && usage.observations < 1.0));
        for hour in 1..3 {
            routes.learn(7, at(hour), false, false);
        }
        assert!(routes.usage(7, at(3)).is_some_and(|usage| usage.is_known));
        assert_eq!(routes.known(), [7]);
    }

    #[test]
    fn an_item_that_is_used_again_after_a_day_or_a_week_is_known() {
        let mut routes = Repertoire::<400>::default();
        routes.learn(7, at(0), false, false);
        assert!(routes.usage(7, at(5)).is_some_and(|usage| !usage.is_known));
        for days in [1, 8] {
            assert!(routes.usage(7, at(24 * days)).is_some_and(|usage| usage.is_known));
            routes.learn(7, at(24 * days), false, false);
            assert!(routes.usage(7, at(24 * days)).is_some_and(|usage| usage.is_known));
        }
    }

    #[test]
    fn a_suspicious_item_becomes_known_only_after_repeated_use() {
        let mut routes = Repertoire::<400>::default();
        for day in 0..2 {
            assert!(routes.usage(7, at(24 * day)).is_none_or(|usage| !usage.is_known));
            routes.learn(7, at(24 * day), false, true);
        }
        assert!(routes.usage(7, at(48)).is_some_and(|usage| usage.is_known));
    }

    #[test]
    fn the_set_remembers_no_more_than_its_maximum() {
        let mut routes = Repertoire::<400>::default();
        for round in 0..5 {
            for id in 0..300 {
                routes.learn(id, at(24 * round), false, false);
            }
        }
        assert_eq!(routes.misses(), 300.0);
        for id in 1_000..9_000 {
            routes.learn(id, at(240 + i64::from(id)), false, false);
        }
        assert_eq!(routes.uses.len(), 400);
        assert!(routes.usage(17, at(9_999)).is_some_and(|usage| usage.is_known));
        assert!(routes.observations() <= f64::from(MAX_OBSERVATIONS / OBSERVATION));
    }

    #[test]
    fn a_one_off_is_counted_after_its_hour() {
        let mut routes = Repertoire::<400>::default();
        for hour in 0..100 {
            (0..5).for_each(|id| _ = routes.learn(id, at(hour), false, false));
        }
        assert_eq!(routes.one_offs(), 0.0);
        routes.learn(77, at(100), false, false);
        assert_eq!(routes.one_offs(), 0.0);
        routes.count_fresh(at(101));
        assert_eq!(routes.one_offs(), 1.0);
    }

    #[test]
    fn only_the_items_that_are_taken_up_become_known() {
        let mut routes = Repertoire::<400>::default();
        (7..9).for_each(|id| _ = routes.learn(id, at(0), false, true));
        routes.take_up([7, 99].into_iter());
        assert_eq!(routes.known(), [7]);
    }

    #[test]
    fn the_set_takes_few_bytes() {
        assert!(size_of::<Repertoire<400>>() <= 24);
        assert_eq!(size_of::<Use>(), 8);
    }
}
