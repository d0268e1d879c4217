//! Learns how a client generates nonces: from counters, from a clock, or at random.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::event::{EventTime, Nonce};

/// The way in which a key's client generates nonces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum Discipline {
    /// The key has sent too few nonces.
    Unknown,
    /// Nonces are numbers from one or several counters.
    Counter,
    /// Nonces are clock readings in units of `1 / per_second` seconds.
    Time { per_second: u64 },
    /// All others: random numbers or texts.
    Random,
}

impl Discipline {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// Number of nonces or signatures seen, and how many of them were used by an earlier request.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Repetitions {
    pub seen: u32,
    pub repeated: u32,
}

impl Repetitions {
    pub fn learn(&mut self, is_repeated: bool) {
        self.seen = self.seen.saturating_add(1);
        self.repeated = self.repeated.saturating_add(u32::from(is_repeated));
    }
}

/// The way in which a request repeats a nonce or a signature of an earlier request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// The request repeats the signed content of the earlier one.
    Replay,
    /// The request has the signature of the earlier one and another nonce.
    NewNonce,
    /// The request has the nonce of the earlier one and other signed content.
    Collision,
    /// As [`Self::Replay`], by machines of one network of the key that ask the same at once. It makes no
    /// later repetition usual.
    AtOnce,
    /// The request is a retry of the client.
    Retry,
    /// The request is a retry, but it changes data and the API accepted both requests.
    AcceptedTwice,
}

impl Again {
    /// Whether the repetition is a retry of the client, accepted twice or not.
    pub const fn is_retry(self) -> bool {
        matches!(self, Self::Retry | Self::AcceptedTwice)
    }
}

/// Habits that an alert of low severity has reported once. From then on they are ordinary for the
/// key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldHabits {
    pub collisions: bool,
    pub small_steps: bool,
    pub steps_back: bool,
    pub time_zone: bool,
    pub accepted_twice: bool,
}

impl ToldHabits {
    /// Adds the habits that `other` has.
    pub fn add(&mut self, other: Self) {
        self.collisions |= other.collisions;
        self.small_steps |= other.small_steps;
        self.steps_back |= other.steps_back;
        self.time_zone |= other.time_zone;
        self.accepted_twice |= other.accepted_twice;
    }
}

/// One counter of a client. Each worker of a client may have its own.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Lane {
    last: u64,
    /// Number of nonces that continued this counter.
    steps: u32,
}

impl Lane {
    fn continues_with(&self, number: u64) -> bool {
        number.wrapping_sub(self.last) <= MAX_STEP || number.abs_diff(self.last) <= REORDER_STEPS
    }
}

/// Counts of the differences between successive nonces, and the highest nonce.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NonceProfile {
    repetitions: Repetitions,
    numeric: u32,
    rises: u32,
    falls: u32,
    /// Number of nonces near the request's time, for each of [`CLOCK_UNITS`].
    near_clock: [u32; 4],
    /// The highest nonce, on the scale of [`Self::height`].
    highest: u64,
    last: u64,
    /// Number of successive nonces that rose by a small step.
    small_steps: u32,
    /// Largest step back that counted as ordinary reordering.
    usual_step_back: u64,
    /// Counters of the client, least recently used first. Empty for clocks.
    lanes: Vec<Lane>,
    /// Number of nonces that continued a counter.
    in_lane: u32,
    /// Number of successive nonces that continued the same counter.
    run: u32,
    /// Number of nonces that an earlier request with other content had used.
    collisions: u32,
    pub twice: TwiceProfile,
    pub told: ToldHabits,
}

/// Units in which clients write time: seconds, milliseconds, microseconds, nanoseconds.
const CLOCK_UNITS: [u64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];
/// Upper bounds of readings in these units. A reading of the years 1973 to 5138 lies below the
/// bound of its own unit, and not below the bound of the unit before.
const CLOCK_BELOW: [u64; 4] =
    [100_000_000_000, 100_000_000_000_000, 100_000_000_000_000_000, u64::MAX];
/// Nanoseconds in a second.
pub const NANOS: u64 = 1_000_000_000;
/// Largest ordinary difference between a clock reading in a nonce and the time of its request.
pub const MAX_NONCE_AGE_SECONDS: u64 = 60;

/// A nonce counts as a clock reading if it differs by less than this from the request's time.
const NEAR_CLOCK_SECONDS: f64 = 600.0;

/// Largest step after which an attacker can guess the next nonce.
pub const SMALL_STEP: u64 = 16;

/// Fewest nonces before the discipline is known.
const SETTLED_AFTER: u32 = 20;

/// Nonces "always rise" if at most one in this many falls.
const RISES_PER_FALL: u32 = 50;

/// Most counters of one client that are distinguished.
const MAX_LANES: usize = 8;
/// Largest step of a counter.
const MAX_STEP: u64 = 1_000;
/// Largest step back of a counter that requests in flight at the same time can cause.
const REORDER_STEPS: u64 = 100;

/// Numbers after which counters wrap around: the largest signed and unsigned integers of 32 and 64
/// bits.
const LAST_NUMBERS: [u64; 4] = [i32::MAX as u64, u32::MAX as u64, i64::MAX as u64, u64::MAX];

/// A counter that wraps around is this close to its maximum before, and to zero after.
const WRAP_MARGIN: u64 = 1_000;

impl NonceProfile {
    /// Learns a nonce. `times` are the time of the request and the signed client time. `again` says
    /// how the request repeats an earlier one, if it does.
    pub fn learn(
        &mut self,
        nonce: &Nonce,
        times: (EventTime, Option<EventTime>),
        again: Option<Again>,
    ) {
        self.repetitions.learn(again == Some(Again::Replay));
        self.collisions =
            self.collisions.saturating_add(u32::from(again == Some(Again::Collision)));
        self.twice.learn(times.0, again == Some(Again::AcceptedTwice));
        let Some(number) = nonce.number else { return };
        self.numeric = self.numeric.saturating_add(1);
        let is_clock = self.learn_clock(number, times);
        self.small_steps = self.small_steps(number);
        let goes_on = !is_clock && self.learn_lane(number);
        self.learn_order(number, goes_on);
        self.last = number;
    }

    /// Counts the number as a clock reading if it is near the request's time or the client's.
    /// Returns whether it is.
    fn learn_clock(&mut self, number: u64, times: (EventTime, Option<EventTime>)) -> bool {
        let times = [Some(times.0), times.1];
        let mut is_clock = false;
        for (count, unit) in self.near_clock.iter_mut().zip(CLOCK_UNITS) {
            let seconds = number as f64 / unit as f64;
            let is_near =
                |time: &EventTime| (seconds - time.as_seconds()).abs() < NEAR_CLOCK_SECONDS;
            let is_near = times.iter().flatten().any(is_near);
            *count = count.saturating_add(u32::from(is_near));
            is_clock |= is_near;
        }
        is_clock
    }

    /// Assigns the number to a counter. Returns whether it is the counter of the number before.
    fn learn_lane(&mut self, number: u64) -> bool {
        let Some(place) = self.lanes.iter().rposition(|lane| lane.continues_with(number)) else {
            self.open_lane(number);
            return false;
        };
        let is_same = place + 1 == self.lanes.len();
        let mut lane = self.lanes.remove(place);
        // A late number does not move the counter back. A wrapped number moves it on.
        if number.wrapping_sub(lane.last) <= MAX_STEP {
            lane.last = number;
        }
        lane.steps = lane.steps.saturating_add(1);
        self.lanes.push(lane);
        self.in_lane = self.in_lane.saturating_add(1);
        self.run = if is_same { self.run.saturating_add(1) } else { 0 };
        is_same
    }

    fn open_lane(&mut self, number: u64) {
        self.run = 0;
        if self.lanes.len() >= MAX_LANES {
            // Replace a counter without any step, else the least recently used one.
            let idle = self.lanes.iter().position(|lane| lane.steps == 0).unwrap_or(0);
            self.lanes.remove(idle);
        }
        self.lanes.reserve_exact(1);
        self.lanes.push(Lane { last: number, steps: 0 });
    }

    fn learn_order(&mut self, number: u64, goes_on: bool) {
        let (height, begins_again) = (self.height(number), self.begins_again(number));
        // A counter that was reset this many nonces ago has replaced the old one.
        let is_new_counter = goes_on && self.run >= SETTLED_AFTER;
        if height > self.highest || begins_again || (is_new_counter && height < self.highest) {
            self.rises = self.rises.saturating_add(u32::from(self.highest > 0));
            self.highest = height;
        } else if height < self.highest && !(goes_on && number > self.last) {
            self.learn_fall(self.highest - height);
        }
    }

    /// Learns a step back. A far step back that the detector reports is not learned, so that one
    /// step does not make further ones ordinary.
    fn learn_fall(&mut self, step_back: u64) {
        if self.always_rises() && self.is_far_back(step_back) {
            return;
        }
        self.falls = self.falls.saturating_add(1);
        self.usual_step_back = self.usual_step_back.max(step_back);
    }

    /// Whether a step back is too large for reordered requests.
    pub fn is_far_back(&self, step_back: u64) -> bool {
        let ordinary =
            if self.reads_clock() { MAX_NONCE_AGE_SECONDS * NANOS } else { REORDER_STEPS };
        step_back > ordinary.max(self.usual_step_back.saturating_mul(2))
    }

    /// The nonce on the scale of [`Self::highest`]: nanoseconds if the client reads a clock, else
    /// the number itself.
    pub fn height(&self, number: u64) -> u64 {
        if !self.reads_clock() {
            return number;
        }
        let unit = CLOCK_UNITS.iter().zip(CLOCK_BELOW).find(|(_, below)| number < *below);
        unit.map_or(number, |(unit, _)| number.saturating_mul(NANOS / unit))
    }

    fn reads_clock(&self) -> bool {
        let readings = self.clock_readings();
        readings > 0 && readings * 2 >= u64::from(self.numeric)
    }

    fn clock_readings(&self) -> u64 {
        self.near_clock.iter().map(|count| u64::from(*count)).sum()
    }

    /// Whether the counter was at the end of its integer type, and `number` follows after the
    /// wrap.
    pub fn begins_again(&self, number: u64) -> bool {
        let is_end = |last: u64| self.highest <= last && last - self.highest < WRAP_MARGIN;
        number < WRAP_MARGIN && LAST_NUMBERS.into_iter().any(is_end)
    }

    /// Whether `number` is low enough for a counter that was reset to its beginning.
    pub fn is_reset(&self, number: u64) -> bool {
        number < WRAP_MARGIN && !self.reads_clock()
    }

    /// Whether `number` continues a counter that the key has used at least [`SETTLED_AFTER`] times.
    pub fn is_in_settled_lane(&self, number: u64) -> bool {
        let settled = |lane: &&Lane| lane.steps >= SETTLED_AFTER;
        self.lanes.iter().filter(settled).any(|lane| lane.continues_with(number))
    }

    /// Number of nonces seen, and of replays among them.
    pub fn repetitions(&self) -> Repetitions {
        self.repetitions
    }

    /// Number of nonces that an earlier request with other content had used.
    pub fn collisions(&self) -> u32 {
        self.collisions
    }

    /// Number of successive nonces that rose by a small step, including `number` as the next one.
    pub fn small_steps(&self, number: u64) -> u32 {
        let step = number.wrapping_sub(self.last);
        if (1..=SMALL_STEP).contains(&step) { self.small_steps.saturating_add(1) } else { 0 }
    }

    /// The way in which the client generates nonces, as far as it is known.
    pub fn discipline(&self) -> Discipline {
        if self.repetitions.seen < SETTLED_AFTER {
            return Discipline::Unknown;
        }
        if !self.is_nearly_all(u64::from(self.numeric)) {
            return Discipline::Random;
        }
        if self.is_nearly_all(self.clock_readings()) {
            let usual = self.near_clock.iter().zip(CLOCK_UNITS).max_by_key(|(count, _)| **count);
            return Discipline::Time { per_second: usual.map_or(1, |(_, unit)| unit) };
        }
        let in_lane = u64::from(self.in_lane);
        let is_lanes = self.is_nearly_all(in_lane + MAX_LANES as u64)
            && in_lane * 2 >= u64::from(self.numeric);
        if is_lanes || self.rises >= self.falls.saturating_mul(3) {
            Discipline::Counter
        } else {
            Discipline::Random
        }
    }

    /// Whether `count` is at least 95 % of all nonces.
    fn is_nearly_all(&self, count: u64) -> bool {
        count * 20 >= u64::from(self.repetitions.seen) * 19
    }

    /// Whether this key's nonces rise, except for rare reordering.
    pub fn always_rises(&self) -> bool {
        self.rises >= SETTLED_AFTER
            && self.rises >= self.falls.saturating_mul(RISES_PER_FALL)
            && self.is_nearly_all(u64::from(self.numeric))
    }

    /// The [`Self::height`] of the highest nonce. Zero before the first.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Largest ordinary step back, on the scale of [`Self::height`].
    pub fn usual_step_back(&self) -> u64 {
        self.usual_step_back
    }

    /// Number of nonces above the highest before them.
    pub fn rises(&self) -> u32 {
        self.rises
    }

    /// Number of nonces that stepped back.
    pub fn falls(&self) -> u32 {
        self.falls
    }
}

/// Share of a client's requests in an hour that repeat an accepted request
/// ([`Again::AcceptedTwice`]).
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct TwiceProfile {
    hour: u32,
    uses: u32,
    repeated: u32,
    /// Usual share of repetitions. It follows an hour with more repetitions at once, and hours with
    /// fewer slowly.
    usual: f32,
}

/// Weight of an hour with fewer repetitions than usual.
const BETTER_HOUR: f32 = 0.05;

impl TwiceProfile {
    /// Counts a request. A late request counts for the current hour.
    pub fn learn(&mut self, time: EventTime, is_repeated: bool) {
        self.turn(time);
        self.uses = self.uses.saturating_add(1);
        self.repeated = self.repeated.saturating_add(u32::from(is_repeated));
    }

    /// Ends the current hour if `time` is in a later one.
    fn turn(&mut self, time: EventTime) {
        let hour = u32::try_from(time.as_micros().div_euclid(HOUR_MICROS)).unwrap_or(0);
        if hour <= self.hour {
            return;
        }
        if self.uses > 0 {
            let error = self.repeated as f32 / self.uses as f32 - self.usual;
            self.usual += error * if error > 0.0 { 1.0 } else { BETTER_HOUR };
        }
        (self.hour, self.uses, self.repeated) = (hour, 0, 0);
    }

    /// Number of repetitions in the hour of `time` including one more at `time`, and the usual
    /// number. `seen` is the number of nonces or signatures seen, on which the least usual share
    /// depends.
    pub fn with_one_more(mut self, time: EventTime, seen: u32) -> (u32, f64) {
        self.learn(time, true);
        let share = f64::from(self.usual).max(0.5 / (f64::from(seen) + 100.0));
        (self.repeated, share * f64::from(self.uses))
    }
}

const HOUR_MICROS: i64 = 3_600_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Fingerprint;

    const START: i64 = 1_700_000_000;

    fn learn_all(numbers: impl IntoIterator<Item = (u64, i64)>) -> NonceProfile {
        let mut profile = NonceProfile::default();
        for (number, second) in numbers {
            let nonce =
                Nonce { fingerprint: Fingerprint(u128::from(number)), number: Some(number) };
            profile.learn(&nonce, (EventTime::from_seconds(second), None), None);
        }
        profile
    }

    #[test]
    fn small_rising_steps_are_a_counter() {
        let profile = learn_all((0..100).map(|n| (5_000 + n, 1_700_000_000 + n as i64)));
        assert_eq!(profile.discipline(), Discipline::Counter);
        assert!(profile.always_rises());
    }

    #[test]
    fn clock_readings_are_recognised_in_every_unit() {
        for unit in CLOCK_UNITS {
            let profile =
                learn_all((0..100).map(|n| ((1_700_000_000 + n) * unit, 1_700_000_000 + n as i64)));
            assert_eq!(profile.discipline(), Discipline::Time { per_second: unit });
        }
    }

    #[test]
    fn scattered_numbers_are_random_and_do_not_always_rise() {
        let profile =
            learn_all((0..200u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 1, n as i64)));
        assert_eq!(profile.discipline(), Discipline::Random);
        assert!(!profile.always_rises());
    }

    #[test]
    fn interleaved_counters_are_counters_and_do_not_always_rise() {
        let worker = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 62;
        let profile =
            learn_all((0..300).map(|n| ((worker(n) + 1) * 9_000_000 + n, START + n as i64)));
        assert_eq!(profile.discipline(), Discipline::Counter);
        assert!(!profile.always_rises());
        assert!(profile.is_in_settled_lane(9_000_000 + 305));
        assert!(!profile.is_in_settled_lane(4_000_000));
    }

    #[test]
    fn a_counter_that_was_reset_gives_the_highest_nonce_in_the_end() {
        let profile = learn_all((0..400).map(|n| ((n + 700) % 900, START + n as i64)));
        assert_eq!(profile.highest(), 199);
        assert!(profile.always_rises());
    }

    #[test]
    fn a_client_that_changes_the_unit_of_its_clock_still_always_rises() {
        let unit = |n: u64| if (50..80).contains(&n) { 1_000_000 } else { 1_000 };
        let profile =
            learn_all((0..100).map(|n| ((1_700_000_000 + n) * unit(n), 1_700_000_000 + n as i64)));
        assert_eq!(profile.discipline(), Discipline::Time { per_second: 1_000 });
        assert!(profile.always_rises());
    }

    #[test]
    fn a_far_step_back_is_not_learned() {
        let mut profile = learn_all((0..200).map(|n| (50_000 + n, START + n as i64)));
        let nonce = Nonce { fingerprint: Fingerprint(1), number: Some(20_000) };
        profile.learn(&nonce, (EventTime::from_seconds(START + 300), None), None);
        assert_eq!(profile.usual_step_back(), 0);
        assert!(profile.always_rises());
    }

    #[test]
    fn nonces_of_one_lane_take_little_memory() {
        assert!(size_of::<NonceProfile>() <= 64 + 80, "{}", size_of::<NonceProfile>());
        let profile = learn_all((0..300).map(|n| (9_000 + n, START + n as i64)));
        assert_eq!(profile.lanes.capacity(), 1);
    }

    #[test]
    fn many_repetitions_in_one_hour_are_usual_in_the_next() {
        let mut twice = TwiceProfile::default();
        for minute in 0..60 {
            twice.learn(EventTime::from_seconds(minute * 60), minute % 2 == 0);
        }
        let (repeated, usual) = twice.with_one_more(EventTime::from_seconds(3_599), 1_000);
        assert!(repeated == 31 && usual < 1.0);
        for minute in 60..119 {
            twice.learn(EventTime::from_seconds(minute * 60), minute % 2 == 0);
        }
        let (repeated, usual) = twice.with_one_more(EventTime::from_seconds(7_199), 1_000);
        assert!(f64::from(repeated) <= usual + 2.0, "{repeated} of {usual}");
    }
}
