//! Learns how often a key's requests fail, are refused or are throttled.

use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::event::EventTime;

/// Kinds of failed requests. Each kind has its own baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// 4xx and 5xx except 401, 403 and 429.
    Error,
    /// [`Answer::Refused`].
    Refused,
    /// [`Answer::Throttled`].
    Throttled,
}

/// All kinds of failure, in the order of their discriminants.
pub const FAILURES: [Failure; 3] = [Failure::Error, Failure::Refused, Failure::Throttled];

impl Failure {
    /// The kind of failure of an HTTP status. `None` for success and for a missing answer.
    pub fn of_status(status: u16) -> Option<Self> {
        match Answer::of(status) {
            Answer::Throttled => Some(Self::Throttled),
            Answer::Refused => Some(Self::Refused),
            Answer::ClientError | Answer::ServerError => Some(Self::Error),
            Answer::Accepted | Answer::Missing => None,
        }
    }
}

/// Length of the window in which failures are counted.
pub const WINDOW_SECONDS: i64 = 60;

/// Number of the minute that contains `time`, counted from the epoch.
pub fn minute_of(time: EventTime) -> i64 {
    time.as_micros().div_euclid(WINDOW_SECONDS * 1_000_000)
}

/// Weight of one request in a settled baseline: about the last 5,000 requests count.
const SETTLED_WEIGHT: f32 = 2e-4;

/// Baseline shares of all kinds of failure, and the counts of the current minute.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct OutcomeProfile {
    window: i64,
    requests: u32,
    failures: [u32; FAILURES.len()],
    /// Number of refused requests since the last one that was not refused.
    refused_in_a_row: u32,
    excluded: bool,
    shares: [f32; FAILURES.len()],
    learned: u32,
}

impl OutcomeProfile {
    /// A baseline of so many requests of which none failed.
    pub fn without_failures(learned: u32) -> Self {
        Self { learned, ..Self::default() }
    }

    /// Counts a request. It closes the current minute if `time` is in a later one. A late request
    /// counts for the current minute.
    pub fn count(&mut self, time: EventTime, status: u16) {
        let window = minute_of(time);
        if window > self.window {
            self.close();
            self.window = window;
        }
        self.requests += 1;
        let failure = Failure::of_status(status);
        if let Some(failure) = failure {
            self.failures[failure as usize] += 1;
        }
        let refused = failure == Some(Failure::Refused);
        self.refused_in_a_row = if refused { self.refused_in_a_row.saturating_add(1) } else { 0 };
    }

    /// Keeps the current minute out of the baseline.
    pub fn exclude_current(&mut self) {
        self.excluded = true;
    }

    fn close(&mut self) {
        if !self.excluded && self.requests > 0 {
            let requests = self.requests;
            let settled = 1.0 - (1.0 - SETTLED_WEIGHT).powi(requests.min(1_000_000) as i32);
            let weight = settled.max(requests as f32 / (self.learned + requests) as f32);
            for (share, failures) in self.shares.iter_mut().zip(self.failures) {
                *share += weight * (failures as f32 / requests as f32 - *share);
            }
            self.learned = self.learned.saturating_add(requests).min(1 << 24);
        }
        self.requests = 0;
        self.failures = Default::default();
        self.excluded = false;
    }

    /// Number of requests that the baseline has learned.
    pub fn learned(&self) -> u32 {
        self.learned
    }

    /// Number of the current minute: see [`minute_of`].
    pub fn minute(&self) -> i64 {
        self.window
    }

    /// Whether the API has refused every request since the first or the second refusal of this
    /// minute. A ban looks like this.
    pub fn is_refused_throughout(&self) -> bool {
        let refused = self.failures[Failure::Refused as usize];
        refused > 0 && self.refused_in_a_row.saturating_add(1) >= refused
    }

    /// Number of requests in the current minute, and how many of them failed in this way.
    pub fn current(&self, failure: Failure) -> (u32, u32) {
        (self.requests, self.failures[failure as usize])
    }

    /// The share of requests that usually fail in this way.
    pub fn usual_share(&self, failure: Failure) -> f64 {
        f64::from(self.shares[failure as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discriminants_of_failures_are_their_indices_in_the_list() {
        assert_eq!(FAILURES.map(|failure| failure as usize), [0, 1, 2]);
    }

    #[test]
    fn the_baseline_is_the_share_of_closed_minutes() {
        let mut outcomes = OutcomeProfile::default();
        for n in 0..600 {
            let status = if n % 10 == 0 { 500 } else { 200 };
            outcomes.count(EventTime::from_seconds(n), status);
        }
        assert!((outcomes.usual_share(Failure::Error) - 0.1).abs() < 0.01);
        assert_eq!(outcomes.usual_share(Failure::Throttled), 0.0);
    }

    #[test]
    fn a_ban_within_a_minute_refuses_throughout_and_a_guesser_with_a_success_does_not() {
        let refused_throughout = |statuses: &[u16]| {
            let mut outcomes = OutcomeProfile::default();
            statuses.iter().for_each(|status| outcomes.count(EventTime::from_seconds(1), *status));
            outcomes.is_refused_throughout()
        };
        assert!(refused_throughout(&[200, 200, 403, 200, 403, 403, 403]));
        assert!(!refused_throughout(&[200, 401, 401, 401, 200, 401]));
        assert!(!refused_throughout(&[200, 200]));
    }

    #[test]
    fn an_excluded_minute_teaches_nothing() {
        let mut outcomes = OutcomeProfile::default();
        for n in 0..60 {
            outcomes.count(EventTime::from_seconds(n), 429);
        }
        outcomes.exclude_current();
        outcomes.count(EventTime::from_seconds(60), 200);
        assert_eq!(outcomes.learned(), 0);
    }
}
