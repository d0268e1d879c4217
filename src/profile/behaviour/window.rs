//! Counts one key's requests in the current window.

use serde::{Deserialize, Serialize};

use super::WINDOW_SECONDS;
use super::observation::{Observation, PLACE_BUCKETS, ROUTE_BUCKETS};
use super::statistics::Statistics;
use crate::event::EventTime;
use crate::profile::outcome::FAILURES;

/// Counts and sums since the start of the window, in about 150 bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Window {
    index: i32,
    is_suspected: bool,
    is_tainted: bool,
    requests: u32,
    failures: [u32; FAILURES.len()],
    signed: u32,
    /// One bit for each address bucket.
    addresses: u64,
    /// One bit for each minute.
    minutes: u64,
    last: EventTime,
    gap_sum: f64,
    gap_squares: f64,
    sized: u32,
    timed: u32,
    size_sum: f64,
    skew_sum: f64,
    routes: [u16; ROUTE_BUCKETS],
    places: [u16; PLACE_BUCKETS],
}

impl Window {
    pub fn new(index: i32) -> Self {
        Self {
            index,
            is_suspected: false,
            is_tainted: false,
            requests: 0,
            failures: Default::default(),
            signed: 0,
            addresses: 0,
            minutes: 0,
            last: EventTime::default(),
            gap_sum: 0.0,
            gap_squares: 0.0,
            sized: 0,
            timed: 0,
            size_sum: 0.0,
            skew_sum: 0.0,
            routes: Default::default(),
            places: Default::default(),
        }
    }

    pub fn index(&self) -> i32 {
        self.index
    }

    pub fn is_suspected(&self) -> bool {
        self.is_suspected
    }

    /// Whether there was evidence of theft in the window.
    pub fn is_tainted(&self) -> bool {
        self.is_tainted
    }

    /// Marks the window as suspicious.
    pub fn suspect(&mut self, is_tainted: bool) {
        self.is_suspected = true;
        self.is_tainted |= is_tainted;
    }

    /// Counts a request, which must be in this window.
    pub fn add(&mut self, observation: &Observation) {
        if self.requests > 0 {
            let gap = observation.time.seconds_since(self.last).max(0.0);
            self.gap_sum += gap;
            self.gap_squares += gap * gap;
        }
        self.last = observation.time;
        self.requests = self.requests.saturating_add(1);
        if let Some(failure) = observation.failure {
            self.failures[failure as usize] += 1;
        }
        self.signed += u32::from(observation.is_signed);
        self.addresses |= 1 << (observation.address & 63);
        self.minutes |= 1 << minute_of(observation.time);
        if let Some(size) = observation.size {
            self.sized += 1;
            self.size_sum += f64::from(size);
        }
        if let Some(skew) = observation.skew {
            self.timed += 1;
            self.skew_sum += f64::from(skew);
        }
        count(&mut self.routes, observation.route);
        count(&mut self.places, observation.place);
    }

    pub fn statistics(&self) -> Statistics {
        let [errors, refused, throttled] = self.failures.map(f64::from);
        Statistics {
            index: self.index,
            requests: f64::from(self.requests),
            errors,
            refused,
            throttled,
            signed: f64::from(self.signed),
            addresses: f64::from(self.addresses.count_ones()),
            minutes: f64::from(self.minutes.count_ones()),
            gap_sum: self.gap_sum,
            gap_squares: self.gap_squares,
            sized: f64::from(self.sized),
            size_sum: self.size_sum,
            timed: f64::from(self.timed),
            skew_sum: self.skew_sum,
            routes: self.routes,
            places: self.places,
        }
    }
}

fn count(buckets: &mut [u16], bucket: u8) {
    if let Some(count) = buckets.get_mut(usize::from(bucket)) {
        *count = count.saturating_add(1);
    }
}

/// Minute of the window, below 60.
fn minute_of(time: EventTime) -> u32 {
    (time.as_micros().rem_euclid(WINDOW_SECONDS * 1_000_000) / 60_000_000) as u32
}
