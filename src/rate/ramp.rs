//! Accumulates evidence that a rate has risen permanently.

use serde::{Deserialize, Serialize};

use super::season::Gamma;

/// Fewest hours known of a season whose windows count as evidence.
const MIN_KNOWN_HOURS: f32 = 2.5;
/// Most evidence from one window, so that a single burst does not count as a lasting rise.
const MAX_GAIN: f32 = 8.0;
/// Part of the last hours' requests that is left after one more window: half of it after six hours.
const KEEP: f32 = 0.980_9;
/// Factor on the rate that the cumulative sum is designed to detect.
const SHIFT: f32 = 2.0;

/// Evidence that the rate has risen permanently: a cumulative sum (Page 1954) of the log-likelihood
/// ratio of [`SHIFT`] times the seasonal rate against the seasonal rate.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Ramp {
    /// Log-likelihood ratio since `since`, in nats. Zero if there is no evidence of a rise.
    pub evidence: f32,
    /// Requests since `since`.
    pub observed: f32,
    /// Requests since `since` that the season expects.
    pub expected: f32,
    /// Requests of the last hours of the rise, decayed, and those that the season expects.
    late: (f32, f32),
    /// Start of the first window of the rise, in seconds since the epoch.
    pub since: i64,
    /// Whether this rise was reported.
    pub is_told: bool,
    /// Whether this rise was reported as a steep one.
    pub is_steep_told: bool,
    /// History of the current hour's season, as of the start of the hour.
    pub(super) known: Gamma,
}

impl Ramp {
    /// Adds a window that begins at `start` with `count` requests, of which the season expects
    /// `mean`. `variance` is the index of dispersion (variance over mean) of a whole hour, because
    /// the deviations of windows in one hour are correlated.
    pub(super) fn add(&mut self, start: i64, count: f32, mean: f32, variance: f32) {
        let known = self.known;
        if known.hours < MIN_KNOWN_HOURS {
            return;
        }
        let gain = (count * SHIFT.ln() - mean * (SHIFT - 1.0)) / variance;
        let gain = gain.min(MAX_GAIN);
        if self.evidence + gain <= 0.0 {
            *self = Self { known, ..Self::default() };
            return;
        }
        if self.evidence == 0.0 {
            self.since = start;
        }
        self.evidence += gain;
        self.observed += count;
        self.expected += mean;
        self.late = (self.late.0 * KEEP + count, self.late.1 * KEEP + mean);
    }

    /// How high the rise stands: the rate of its last hours, or of all of it if that is higher, as
    /// a multiple of the usual.
    pub fn height(&self) -> f64 {
        let ratio = |(observed, expected): (f32, f32)| f64::from(observed / expected.max(1e-3));
        ratio((self.observed, self.expected)).max(ratio(self.late))
    }
}
