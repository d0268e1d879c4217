//! Counts how many new networks and countries a key turns to within an hour.
//!
//! Each new place alone may be ordinary. A key that goes through a rotating proxy, or that was sold,
//! shows many at once, and its habit of new places has no time to follow.

use serde::{Deserialize, Serialize};

use super::novelty::Firsts;
use crate::event::EventTime;

const HOUR_MICROS: i64 = 3_600_000_000;
/// Weight of one hour of use in the usual number.
const USUAL_WEIGHT: f32 = 0.1;
/// An hour counts for the usual number as at most this multiple of it: a thief teaches little.
const MOST_TAUGHT: f32 = 4.0;

/// New networks and countries of the current hour, and the usual number of new networks.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Scatter {
    hour: u32,
    networks: u16,
    countries: u16,
    /// Decayed mean over hours of use.
    usual: f32,
}

impl Scatter {
    /// Counts a use of the key. A late one counts for the current hour.
    pub(super) fn count(&mut self, time: EventTime, firsts: Firsts) {
        let hour = hour_of(time);
        if hour > self.hour {
            let count = f32::from(self.networks).min(MOST_TAUGHT * (self.usual + 1.0));
            self.usual += USUAL_WEIGHT * (count - self.usual);
            (self.hour, self.networks, self.countries) = (hour, 0, 0);
        }
        self.networks = self.networks.saturating_add(u16::from(firsts.network));
        self.countries = self.countries.saturating_add(u16::from(firsts.country));
    }

    /// New networks and new countries in the hour of `time`.
    pub fn current(&self, time: EventTime) -> (u16, u16) {
        if hour_of(time) <= self.hour { (self.networks, self.countries) } else { (0, 0) }
    }

    /// Usual number of new networks in an hour of use.
    pub fn usual(&self) -> f64 {
        f64::from(self.usual)
    }
}

fn hour_of(time: EventTime) -> u32 {
    time.as_micros().div_euclid(HOUR_MICROS) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> EventTime {
        EventTime::from_seconds(3_600 * hour)
    }

    fn firsts(network: bool) -> Firsts {
        Firsts { network, country: network, ..Firsts::default() }
    }

    #[test]
    fn a_crowd_makes_many_usual_and_one_hour_does_not() {
        let mut crowd = Scatter::default();
        for hour in 1..60 {
            (0..12).for_each(|_| crowd.count(at(hour), firsts(true)));
        }
        assert!((crowd.usual() - 12.0).abs() < 0.5, "{}", crowd.usual());
        let mut single = Scatter::default();
        (1..60).for_each(|hour| single.count(at(hour), firsts(false)));
        (0..500).for_each(|_| single.count(at(60), firsts(true)));
        assert_eq!(single.current(at(60)), (500, 500));
        single.count(at(61), firsts(false));
        assert!(single.usual() < 0.5, "{}", single.usual());
        assert_eq!(single.current(at(62)), (0, 0));
    }
}
