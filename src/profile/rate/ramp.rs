//! Whether a rate has shifted for good.

use super::season::Gamma;

/// Weight of one hour in the dispersion of hours.
const DISPERSION_WEIGHT: f32 = 0.02;
/// Index of dispersion of hours of a key of which nothing is known.
const PRIOR_DISPERSION: f32 = 4.0;
/// An hour of the day that was not seen on several days cannot say that a rate has shifted.
const MIN_KNOWN_HOURS: f32 = 2.5;
/// Shift that the cumulative sum is built to find.
const SHIFT: f32 = 2.0;

/// Evidence that the rate has shifted for good: a cumulative sum (Page 1954) of the
/// log-likelihood ratio of twice the seasonal rate against the seasonal rate.
#[derive(Clone, Copy, Debug)]
pub struct Ramp {
    /// Natural logarithm of the likelihood ratio since `since`; zero when nothing shifts.
    pub evidence: f32,
    /// Requests since then, and those that the season expects.
    pub observed: f32,
    pub expected: f32,
    /// Start of the first hour that counts, in seconds since the epoch.
    pub since: i64,
    /// Whether this rise was told already.
    pub is_told: bool,
    /// Index of dispersion of whole hours around their season.
    dispersion: f32,
    /// What was known of the present hour's season when it began.
    pub(super) known: Gamma,
}

impl Default for Ramp {
    fn default() -> Self {
        Self {
            evidence: 0.0,
            observed: 0.0,
            expected: 0.0,
            since: 0,
            is_told: false,
            dispersion: PRIOR_DISPERSION,
            known: Gamma::default(),
        }
    }
}

impl Ramp {
    /// Takes one hour from `start`; `mean` is its season's expectation, which is off by
    /// `uncertainty` (squared, relative).
    pub(super) fn add(&mut self, start: i64, count: f32, mean: f32, uncertainty: f32) {
        let known = self.known;
        if known.hours < MIN_KNOWN_HOURS {
            return;
        }
        let noise = self.dispersion.max(1.0);
        let uncertainty = uncertainty + noise / (known.events + 1.0);
        let gain = (count * SHIFT.ln() - mean * (SHIFT - 1.0)) / (noise + mean * uncertainty);
        if self.evidence + gain <= 0.0 {
            let ratio = (count - mean).powi(2) / mean.max(0.5);
            let dispersion = self.dispersion + DISPERSION_WEIGHT * (ratio - self.dispersion);
            *self = Self { dispersion, known, ..Self::default() };
            return;
        }
        if self.evidence == 0.0 {
            self.since = start;
        }
        self.evidence += gain;
        self.observed += count;
        self.expected += mean;
    }
}
