//! Learns how many bytes and how many different resources a key reads in an hour.

use serde::{Deserialize, Serialize};

use crate::event::EventTime;

/// Least weight of a new hour: a level follows about the last three days of use.
const MIN_STEP: f32 = 1.0 / 64.0;
/// Decay of the largest hour with each further hour of use. It halves in 17 days of hourly use,
/// so that weekly jobs are remembered.
const FADING: f32 = 0.0017;
/// Distinct ids are a finding if they exceed the largest recent hour by this factor.
pub const ABOVE_LARGEST: f64 = 8.0;
/// After a suspected hour they are one if they exceed it by this factor.
const TOLD_IDS: f64 = 2.0;
/// Part of a suspected hour's bytes that counts for the largest hour.
const SUSPECTED: f64 = 0.9;

/// Mean and variance of the logarithm of an hourly amount, and its decayed maximum.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Level {
    mean: f32,
    variance: f32,
    largest: f32,
    hours: u16,
}

impl Level {
    /// Number of hours learned.
    pub fn hours(&self) -> u16 {
        self.hours
    }

    /// Median amount of an hour.
    pub fn usual(&self) -> f64 {
        f64::from(self.mean).exp()
    }

    /// Largest amount of an hour, decayed.
    pub fn largest(&self) -> f64 {
        f64::from(self.largest).exp()
    }

    /// Standard deviation of the logarithm of the next hour's amount. It is at least `floor`.
    pub fn spread(&self, floor: f64) -> f64 {
        let hours = f64::from(self.hours.max(1));
        (f64::from(self.variance) * (1.0 + 3.0 / hours) + floor * floor).sqrt()
    }

    fn raise_largest(&mut self, amount: f64) {
        self.largest = self.largest.max(amount.max(1.0).ln() as f32);
    }

    fn learn(&mut self, amount: f64) {
        let value = amount.max(1.0).ln() as f32;
        self.hours = self.hours.saturating_add(1);
        let step = (1.0 / f32::from(self.hours)).max(MIN_STEP);
        let gap = value - self.mean;
        self.mean += step * gap;
        self.variance = (1.0 - step) * (self.variance + step * gap * gap);
        self.largest = (self.largest - FADING).max(value);
    }
}

/// Requests and bytes of a key's current hour, and the levels of its hours.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct VolumeProfile {
    hour: u32,
    requests: u32,
    bytes: u64,
    /// Bytes of an hour.
    sums: Level,
    /// Mean bytes of a request in an hour.
    sizes: Level,
    is_suspected: bool,
}

fn hour_of(time: EventTime) -> u32 {
    time.as_micros().div_euclid(3_600_000_000) as u32
}

impl VolumeProfile {
    /// Counts a request with an answer of `bytes`. A late request counts for the current hour.
    pub fn count(&mut self, time: EventTime, bytes: u64) {
        let hour = hour_of(time);
        if hour > self.hour {
            self.end_hour();
            (self.hour, self.requests, self.bytes, self.is_suspected) = (hour, 0, 0, false);
        }
        self.requests = self.requests.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Learns the hour that ended. A suspected hour raises the largest amount only, so that a
    /// second hour of the same size is ordinary; the level does not change.
    fn end_hour(&mut self) {
        if self.requests == 0 {
            return;
        }
        let (sum, size) = (self.bytes as f64, self.size());
        if self.is_suspected {
            self.sums.raise_largest(SUSPECTED * sum);
        } else {
            self.sums.learn(sum);
            self.sizes.learn(size);
        }
    }

    /// Marks the current hour as suspected.
    pub fn exclude_current(&mut self) {
        self.is_suspected = true;
    }

    /// Whether `time` is in the hour that is counted. A request that counts nothing does not end
    /// the hour before.
    pub fn is_current(&self, time: EventTime) -> bool {
        hour_of(time) <= self.hour
    }

    /// Bytes in the current hour.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Requests in the current hour.
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// Mean bytes of a request in the current hour.
    pub fn size(&self) -> f64 {
        self.bytes as f64 / f64::from(self.requests.max(1))
    }

    /// Usual bytes of an hour.
    pub fn sums(&self) -> &Level {
        &self.sums
    }

    /// Usual bytes of a request.
    pub fn sizes(&self) -> &Level {
        &self.sizes
    }
}

/// Registers of the sketch of distinct ids, four bits each (HyperLogLog: Flajolet, Fusy, Gandouet
/// and Meunier 2007). The standard error is about a quarter.
const REGISTERS: u32 = 16;
/// The factor `alpha * m^2` of HyperLogLog for `m` registers.
const ALPHA: f64 = 0.673 * (REGISTERS * REGISTERS) as f64;
/// Scale of the sum of `2^-rank`, which is computed in integers.
const WHOLE: u32 = 1 << 15;
/// Largest step between two ids of a walk. Between them may be ids that do not exist, or are not
/// the key's to see: their requests may be no proven uses.
const MAX_GAP: u64 = 16;
/// A walk that meets nothing for longer goes on up to here, without a step.
const MAX_JUMP: u64 = 8 * MAX_GAP;
/// Most other requests between two steps of a walk.
const MAX_BETWEEN: u8 = 12;

/// The ids that a key requests: how many different ones in an hour, and how many of them in
/// ascending order (a walk).
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct WalkProfile {
    hour: u32,
    /// Route of the walk.
    route: u32,
    /// HyperLogLog sketch of the ids in the current hour.
    sketch: u64,
    /// The latest id of the walk.
    last: u64,
    /// The id before `last`. It is compared too before a walk has begun, because other requests
    /// may come between the first two ids of a walk.
    earlier: u64,
    /// Requests since the last step.
    between: u8,
    is_suspected: bool,
    /// Steps of the current walk.
    run: u16,
    /// Steps of all walks in the current hour.
    steps: u16,
    /// Most steps in an hour, decayed.
    most_steps: f32,
    distinct: Level,
}

impl WalkProfile {
    /// Counts a request for a resource on `route`. `id` is its number if `is_number`, else a hash
    /// of its name.
    pub fn count(&mut self, time: EventTime, route: u32, id: u64, is_number: bool) {
        let hour = hour_of(time);
        if hour > self.hour {
            self.end_hour();
            (self.hour, self.sketch, self.steps, self.is_suspected) = (hour, 0, 0, false);
        }
        self.sketch = add(self.sketch, mix(id ^ u64::from(route) << 32));
        if is_number {
            self.step(route, id);
        }
    }

    fn step(&mut self, route: u32, id: u64) {
        let follows = |last: u64| (1..=MAX_GAP).contains(&id.wrapping_sub(last));
        let begins = self.run == 0 && follows(self.earlier);
        if route == self.route && (follows(self.last) || begins) {
            (self.last, self.between) = (id, 0);
            self.run = self.run.saturating_add(1);
            self.steps = self.steps.saturating_add(1);
            return;
        }
        if route == self.route
            && self.run > 0
            && (1..=MAX_JUMP).contains(&id.wrapping_sub(self.last))
        {
            (self.last, self.between) = (id, 0);
            return;
        }
        self.between = self.between.saturating_add(1);
        if self.run == 0 || self.between > MAX_BETWEEN {
            (self.earlier, self.last) = (self.last, id);
            (self.route, self.run, self.between) = (route, 0, 0);
        }
    }

    fn end_hour(&mut self) {
        let steps = f32::from(self.steps);
        let steps = if self.is_suspected { steps / 2.0 } else { steps };
        self.most_steps = (self.most_steps * (1.0 - FADING)).max(steps);
        if self.sketch == 0 {
            return;
        }
        let ids = estimate(self.sketch);
        // As for bytes: the level does not change, and an hour of up to twice the size is ordinary.
        if self.is_suspected {
            self.distinct.raise_largest(TOLD_IDS * ids / ABOVE_LARGEST);
        } else {
            self.distinct.learn(ids);
        }
    }

    /// Marks the current hour as suspected.
    pub fn exclude_current(&mut self) {
        self.is_suspected = true;
    }

    /// Whether `time` is in the hour that is counted. A request without an id does not end the hour
    /// before.
    pub fn is_current(&self, time: EventTime) -> bool {
        hour_of(time) <= self.hour
    }

    /// Steps of all walks in the current hour. A step leads from one id to one of the next
    /// [`MAX_GAP`].
    pub fn steps(&self) -> u16 {
        self.steps
    }

    /// Most steps in an hour, decayed.
    pub fn most_steps(&self) -> f64 {
        f64::from(self.most_steps)
    }

    /// Estimated number of distinct ids in the current hour.
    pub fn distinct_ids(&self) -> f64 {
        estimate(self.sketch)
    }

    /// Usual number of distinct ids in an hour.
    pub fn usual_ids(&self) -> &Level {
        &self.distinct
    }
}

/// Adds a hash to a HyperLogLog sketch.
fn add(sketch: u64, hash: u64) -> u64 {
    let register = (hash >> 60) as u32 * 4;
    let rank = ((hash << 4).leading_zeros() + 1).min(15);
    let held = (sketch >> register & 15) as u32;
    if rank > held { sketch & !(15 << register) | u64::from(rank) << register } else { sketch }
}

/// Estimated number of distinct hashes in a sketch. It runs for every request, so it sums in
/// integers.
fn estimate(sketch: u64) -> f64 {
    let ranks = (0..REGISTERS).map(|register| (sketch >> (4 * register) & 15) as u32);
    let (sum, empty) = ranks.fold((0u32, 0u32), |(sum, empty), rank| {
        (sum + (WHOLE >> rank), empty + u32::from(rank == 0))
    });
    let registers = f64::from(REGISTERS);
    let raw = ALPHA * f64::from(WHOLE) / f64::from(sum);
    if raw <= 2.5 * registers && empty > 0 {
        registers * (registers / f64::from(empty)).ln()
    } else {
        raw
    }
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014).
const fn mix(hash: u64) -> u64 {
    let hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sketch_estimates_the_number_of_distinct_ids() {
        for count in [5u64, 50, 1_000, 50_000] {
            let sketch = (0..3 * count).fold(0, |sketch, n| add(sketch, mix(n % count)));
            let ratio = estimate(sketch) / count as f64;
            assert!((0.5..2.0).contains(&ratio), "{count}: {ratio}");
        }
    }

    #[test]
    fn a_walk_is_followed_among_other_requests() {
        let mut walk = WalkProfile::default();
        for n in 0..100u64 {
            walk.count(EventTime::from_seconds(7_200), 1, 500 + n, true);
            walk.count(EventTime::from_seconds(7_200), 1, n * 7_919 % 90_000, true);
        }
        assert!(walk.steps() > 80, "{}", walk.steps());
    }

    #[test]
    fn a_walk_is_followed_where_few_of_its_ids_exist() {
        let mut walk = WalkProfile::default();
        for n in (0..1_200).filter(|n| mix(*n) % 10 < 3) {
            walk.count(EventTime::from_seconds(7_200), 1, 4 * n, true);
        }
        assert!(walk.steps() > 200, "{}", walk.steps());
    }

    #[test]
    fn random_ids_are_not_a_walk() {
        let mut walk = WalkProfile::default();
        for n in 0..2_000u64 {
            walk.count(EventTime::from_seconds(7_200), 1, mix(n) % 90_000, true);
        }
        assert!(walk.steps() < 5, "{}", walk.steps());
    }

    #[test]
    fn the_profiles_take_few_bytes() {
        assert!(size_of::<VolumeProfile>() <= 56, "{}", size_of::<VolumeProfile>());
        assert!(size_of::<WalkProfile>() <= 64, "{}", size_of::<WalkProfile>());
    }
}
