//! Counts which share of all requests of a partition failed in the last two minutes.

use serde::{Deserialize, Serialize};

use crate::event::EventTime;
use crate::profile::outcome::{FAILURES, Failure, OutcomeProfile, minute_of};

/// Successful pseudo-requests that are added: a few requests of other keys do not show the state of
/// the fleet.
const PRIOR_REQUESTS: f64 = 25.0;

/// The current minute and the one before it. Records arrive a little late, and a minute that has
/// just begun holds too few requests to judge by.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Failures {
    minutes: [Minute; 2],
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Minute {
    index: i64,
    requests: u32,
    failed: [u32; FAILURES.len()],
}

impl Failures {
    pub fn count(&mut self, time: EventTime, status: u16) {
        let index = minute_of(time);
        if index > self.minutes[0].index {
            self.minutes.rotate_right(1);
            self.minutes[0] = Minute { index, ..Minute::default() };
        }
        let Some(minute) = self.minutes.iter_mut().find(|minute| minute.index == index) else {
            return;
        };
        minute.requests += 1;
        if let Some(failure) = Failure::of_status(status) {
            minute.failed[failure as usize] += 1;
        }
    }

    /// The share of the other keys' requests that fail in this way: the larger of the current
    /// minute's and of the minute before. Between 0 and 1.
    pub fn share_elsewhere(&self, own: &OutcomeProfile, failure: Failure) -> f64 {
        let share = |minute: &Minute| {
            let own_counts = own.current(failure);
            let (requests, failed) = if minute.index == own.minute() { own_counts } else { (0, 0) };
            let others = |all: u32, own: u32| f64::from(all.saturating_sub(own));
            others(minute.failed[failure as usize], failed)
                / (others(minute.requests, requests) + PRIOR_REQUESTS)
        };
        self.minutes.iter().map(share).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outage(minutes: std::ops::Range<i64>) -> Failures {
        let mut failures = Failures::default();
        for minute in minutes {
            for second in 0..600 {
                failures.count(EventTime::from_seconds(minute * 60 + second / 10), 503);
            }
        }
        failures
    }

    fn own(second: i64) -> OutcomeProfile {
        let mut own = OutcomeProfile::default();
        (0..20).for_each(|_| own.count(EventTime::from_seconds(second), 503));
        own
    }

    #[test]
    fn a_late_record_is_compared_with_its_own_minute() {
        let mut failures = outage(10..11);
        failures.count(EventTime::from_seconds(11 * 60), 200);
        assert!(failures.share_elsewhere(&own(10 * 60 + 59), Failure::Error) > 0.9);
    }

    #[test]
    fn a_full_minute_outweighs_one_that_has_just_begun() {
        let mut failures = outage(10..11);
        (0..20).for_each(|_| failures.count(EventTime::from_seconds(11 * 60), 503));
        assert!(failures.share_elsewhere(&own(11 * 60), Failure::Error) > 0.9);
    }

    #[test]
    fn a_key_s_own_failures_do_not_count_as_elsewhere() {
        let mut failures = Failures::default();
        (0..20).for_each(|_| failures.count(EventTime::from_seconds(600), 503));
        assert_eq!(failures.share_elsewhere(&own(600), Failure::Error), 0.0);
        assert_eq!(outage(10..11).share_elsewhere(&own(600), Failure::Throttled), 0.0);
    }
}
