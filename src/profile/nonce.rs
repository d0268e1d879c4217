//! How a key makes its nonces: always rising (a counter, a clock) or not.

use crate::event::{EventTime, Nonce};

/// The way a key's nonces go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discipline {
    /// Too few nonces to tell.
    Unknown,
    /// Numbers that rise by small steps.
    Counter,
    /// Numbers that follow the clock; `per_second` is their unit.
    Time { per_second: u64 },
    /// Anything else: random, or no numbers.
    Random,
}

impl Discipline {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Time { .. } => "time",
            Self::Random => "random",
        }
    }
}

/// How often something that must be used once came again in another request, by mistake.
#[derive(Clone, Copy, Debug, Default)]
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

/// Counts of how nonces moved, and the highest one.
#[derive(Clone, Copy, Debug, Default)]
pub struct NonceProfile {
    repetitions: Repetitions,
    numeric: u32,
    rises: u32,
    falls: u32,
    /// Numeric nonces that equal the request's time in a unit of 10^(3n) a second.
    near_clock: [u32; 4],
    highest: u64,
    last: u64,
    /// Nonces in a row that rose by a small step.
    small_steps: u32,
    /// Largest step back that was taken as ordinary reordering.
    usual_step_back: u64,
}

/// Units in which clients write time: seconds, milliseconds, microseconds, nanoseconds.
const CLOCK_UNITS: [u64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];

/// A nonce counts as a clock reading when it is this near to the request's time.
const NEAR_CLOCK_SECONDS: f64 = 600.0;

/// Steps this small can be guessed from one nonce to the next.
pub const SMALL_STEP: u64 = 16;

/// Nonces seen before a discipline is named.
const SETTLED_AFTER: u32 = 20;

/// A discipline is "always rising" when at most one nonce in this many falls.
const RISES_PER_FALL: u32 = 50;

/// Where counters begin again: after the last signed and unsigned 32-bit and 64-bit numbers.
const LAST_NUMBERS: [u64; 4] = [i32::MAX as u64, u32::MAX as u64, i64::MAX as u64, u64::MAX];

/// A counter that begins again is this near to its end before, and to zero after.
const WRAP_MARGIN: u64 = 1_000;

impl NonceProfile {
    pub fn learn(&mut self, nonce: &Nonce, time: EventTime, is_repeated: bool) {
        self.repetitions.learn(is_repeated);
        let Some(number) = nonce.number else { return };
        self.numeric = self.numeric.saturating_add(1);
        for (count, unit) in self.near_clock.iter_mut().zip(CLOCK_UNITS) {
            let seconds = number as f64 / unit as f64;
            *count += u32::from((seconds - time.as_seconds()).abs() < NEAR_CLOCK_SECONDS);
        }
        self.small_steps = self.small_steps(number);
        self.last = number;
        if number > self.highest || self.begins_again(number) {
            self.rises = self.rises.saturating_add(u32::from(self.highest > 0));
            self.highest = number;
        } else {
            self.falls = self.falls.saturating_add(1);
            self.usual_step_back = self.usual_step_back.max(self.highest - number);
        }
    }

    /// Whether the counter has come to the end of its type, and `number` is its next.
    pub fn begins_again(&self, number: u64) -> bool {
        let is_end = |last: u64| self.highest <= last && last - self.highest < WRAP_MARGIN;
        number < WRAP_MARGIN && LAST_NUMBERS.into_iter().any(is_end)
    }

    pub fn repetitions(&self) -> Repetitions {
        self.repetitions
    }

    /// Nonces in a row that rose by a small step, if `number` is the next one.
    pub fn small_steps(&self, number: u64) -> u32 {
        let step = number.wrapping_sub(self.last);
        if (1..=SMALL_STEP).contains(&step) { self.small_steps.saturating_add(1) } else { 0 }
    }

    pub fn discipline(&self) -> Discipline {
        let seen = self.repetitions.seen;
        if seen < SETTLED_AFTER {
            return Discipline::Unknown;
        }
        let nearly_all = |count: u32| u64::from(count) * 20 >= u64::from(seen) * 19;
        if !nearly_all(self.numeric) {
            return Discipline::Random;
        }
        for (count, unit) in self.near_clock.into_iter().zip(CLOCK_UNITS) {
            if nearly_all(count) {
                return Discipline::Time { per_second: unit };
            }
        }
        if self.rises >= self.falls.saturating_mul(3) {
            Discipline::Counter
        } else {
            Discipline::Random
        }
    }

    /// Whether this key's nonces have risen all along, but for rare reordering.
    pub fn always_rises(&self) -> bool {
        self.rises >= SETTLED_AFTER && self.rises >= self.falls.saturating_mul(RISES_PER_FALL)
    }

    /// The highest nonce so far; zero before the first.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    pub fn usual_step_back(&self) -> u64 {
        self.usual_step_back
    }

    pub fn rises(&self) -> u32 {
        self.rises
    }

    pub fn falls(&self) -> u32 {
        self.falls
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Fingerprint;

    fn learn_all(numbers: impl IntoIterator<Item = (u64, i64)>) -> NonceProfile {
        let mut profile = NonceProfile::default();
        for (number, second) in numbers {
            let nonce =
                Nonce { fingerprint: Fingerprint(u128::from(number)), number: Some(number) };
            profile.learn(&nonce, EventTime::from_seconds(second), false);
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
    fn clock_readings_are_told_by_their_unit() {
        for unit in CLOCK_UNITS {
            let profile =
                learn_all((0..100).map(|n| ((1_700_000_000 + n) * unit, 1_700_000_000 + n as i64)));
            assert_eq!(profile.discipline(), Discipline::Time { per_second: unit });
        }
    }

    #[test]
    fn scattered_numbers_are_random_and_never_always_rise() {
        let profile =
            learn_all((0..200u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 1, n as i64)));
        assert_eq!(profile.discipline(), Discipline::Random);
        assert!(!profile.always_rises());
    }
}
