//! Finds a minute in which far more of a key's requests fail than usual: `rate.error_burst`,
//! `auth.failure_burst`, `limit.throttled_burst`.

use serde_json::json;

use super::Signal;

use crate::alert::DetectorId;
use crate::profile::outcome::{Failure, OutcomeProfile, WINDOW_SECONDS};
use crate::rate::{Forecast, negative_binomial_tail};

/// A baseline needs at least this many requests.
const MIN_LEARNED: u32 = 50;
/// Fewer failures than this in a minute are not a burst.
const MIN_FAILURES: u32 = 15;
/// A burst is at least this share of the minute's requests ...
const MIN_SHARE: f64 = 0.2;
/// ... and this many times the usual share.
const MIN_RATIO: f64 = 4.0;
/// Failures come in clumps: size parameter of the negative binomial distribution of their count.
const CLUMPING: f64 = 1.0;

/// A burst of one kind of failure.
#[derive(Clone, Copy, Debug)]
pub struct Burst {
    pub p_value: f64,
    failure: Failure,
    requests: u32,
    failed: u32,
    usual_share: f64,
}

/// Finds a burst of this failure in the current minute. `elsewhere` is the share of the other keys'
/// requests that fail now: an outage of the API is not a burst of the key.
pub fn find_burst(outcomes: &OutcomeProfile, failure: Failure, elsewhere: f64) -> Option<Burst> {
    let (requests, failed) = outcomes.current(failure);
    let learned = outcomes.learned();
    if failed < MIN_FAILURES || learned < MIN_LEARNED {
        return None;
    }
    // Half a failure is added: a share is never exactly zero.
    let usual = outcomes.usual_share(failure) + 0.5 / (f64::from(learned) + 1.0);
    let usual_share = usual.max(elsewhere);
    let share = f64::from(failed) / f64::from(requests);
    if share < MIN_SHARE || share < MIN_RATIO * usual_share {
        return None;
    }
    let forecast = Forecast { mean: f64::from(requests) * usual_share, size: CLUMPING };
    let p_value = negative_binomial_tail(u64::from(failed), forecast);
    Some(Burst { p_value, failure, requests, failed, usual_share })
}

/// The signal of a burst of requests that could not be read. They are counted as failures.
pub fn unread_signal(burst: Burst, reason: &str, outcomes: &OutcomeProfile) -> Signal {
    let Burst { requests, failed, .. } = burst;
    let signal = burst.into_signal(outcomes);
    let mut fields = signal.fields;
    fields["unread"] = true.into();
    fields["reason"] = reason.into();
    Signal {
        headline: format!("{failed} of {requests} requests in a minute could not be read"),
        sentence: format!(
            "{failed} of {requests} records of this key within {WINDOW_SECONDS} seconds could not \
             be read (the last one: {reason}), so that these requests are not judged."
        ),
        fields,
        ..signal
    }
}

impl Burst {
    pub fn detector(&self) -> DetectorId {
        match self.failure {
            Failure::Error => DetectorId::ErrorBurst,
            Failure::Refused => DetectorId::AuthFailureBurst,
            Failure::Throttled => DetectorId::ThrottledBurst,
        }
    }

    pub fn is_of_refusals(&self) -> bool {
        self.failure == Failure::Refused
    }

    pub fn into_signal(self, outcomes: &OutcomeProfile) -> Signal {
        let what = match self.failure {
            Failure::Error => "failed",
            Failure::Refused => "were refused (401 or 403)",
            Failure::Throttled => "were throttled (429)",
        };
        let (requests, failed) = (self.requests, self.failed);
        let usual = outcomes.usual_share(self.failure);
        let expected = f64::from(requests) * self.usual_share;
        Signal {
            detector: self.detector(),
            p_value: self.p_value,
            observed: Some(f64::from(failed)),
            expected: Some(expected),
            headline: format!("{failed} of {requests} requests in a minute {what}"),
            sentence: format!(
                "{failed} of {requests} requests within {WINDOW_SECONDS} seconds {what}, where \
                 {:.1}% are usual for this key.",
                usual * 100.0
            ),
            fields: json!({
                "requests": requests,
                "count": failed,
                "window_seconds": WINDOW_SECONDS,
                "share": f64::from(failed) / f64::from(requests),
                "usual_share": usual,
            }),
            ceiling: None,
        }
    }
}
