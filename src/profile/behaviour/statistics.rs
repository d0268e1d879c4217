//! Computes feature values from the counts and sums of one window.

use super::observation::{ADDRESS_BUCKETS, PLACE_BUCKETS, ROUTE_BUCKETS};

const MINUTES: f64 = 60.0;

/// Counts and sums of one key's window. [`super::Window`] computes them in the service, polars in
/// training.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Number of the window since the epoch.
    pub index: i32,
    pub requests: f64,
    /// Requests with 4xx and 5xx except 401, 403 and 429.
    pub errors: f64,
    /// Requests with 401 and 403.
    pub refused: f64,
    /// Requests with 429.
    pub throttled: f64,
    /// Requests with a nonce or a signature.
    pub signed: f64,
    /// Non-empty address buckets.
    pub addresses: f64,
    /// Minutes with a request.
    pub minutes: f64,
    /// Sum of the gaps between requests, in seconds. Gaps are in the order of the log, and at
    /// least 0.
    pub gap_sum: f64,
    /// Sum of the squared gaps.
    pub gap_squares: f64,
    /// Requests with a known size of the answer.
    pub sized: f64,
    /// Sum of `ln(1 + bytes)` over them.
    pub size_sum: f64,
    /// Requests with a client time.
    pub timed: f64,
    /// Sum of `asinh` of the skew in seconds over them.
    pub skew_sum: f64,
    /// Requests by route bucket, at most 65,535 each.
    pub routes: [u16; ROUTE_BUCKETS],
    /// Requests by place bucket, at most 65,535 each.
    pub places: [u16; PLACE_BUCKETS],
}

impl Statistics {
    /// `ln(1 + requests)`.
    pub fn volume(&self) -> f64 {
        self.requests.ln_1p()
    }

    /// Logarithm of the estimated number of distinct addresses (linear counting).
    pub fn log_addresses(&self) -> f64 {
        let buckets = ADDRESS_BUCKETS as f64;
        let empty = (buckets - self.addresses).max(0.5);
        (-buckets * (empty / buckets).ln()).max(1.0).ln()
    }

    /// Logarithm of a ratio: minutes in use to the expected number of minutes if the requests were
    /// spread at random.
    pub fn log_spread(&self) -> f64 {
        let filled = MINUTES * (1.0 - (1.0 - 1.0 / MINUTES).powf(self.requests));
        (self.minutes.max(1.0) / filled.max(1.0)).ln()
    }

    /// Burstiness of the gaps, `(s - m) / (s + m)` with mean `m` and standard deviation `s` (Goh
    /// and Barabási, Europhysics Letters 81, 2008). It is -1 for regular gaps, 0 for a Poisson
    /// process, and near 1 for bursts. `None` for fewer than three gaps.
    pub fn burstiness(&self) -> Option<f64> {
        let gaps = self.requests - 1.0;
        if gaps < 3.0 || self.gap_sum <= 0.0 {
            return None;
        }
        let mean = self.gap_sum / gaps;
        let deviation = (self.gap_squares / gaps - mean * mean).max(0.0).sqrt();
        Some((deviation - mean) / (deviation + mean))
    }

    /// Mean of `ln(1 + bytes)` of the answers.
    pub fn mean_size(&self) -> Option<f64> {
        (self.sized > 0.0).then(|| self.size_sum / self.sized)
    }

    /// Mean of `asinh` of the skew in seconds.
    pub fn mean_skew(&self) -> Option<f64> {
        (self.timed > 0.0).then(|| self.skew_sum / self.timed)
    }
}

/// Entropy of counts in nats, with the bias correction of Miller and Madow (1955).
pub fn entropy(counts: &[u16]) -> f64 {
    let total: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    if total == 0.0 {
        return 0.0;
    }
    let used = counts.iter().filter(|count| **count > 0);
    let plain: f64 = used
        .clone()
        .map(|count| {
            let share = f64::from(*count) / total;
            -share * share.ln()
        })
        .sum();
    plain + (used.count() as f64 - 1.0) / (2.0 * total)
}

/// Distance of counts from usual shares: `ln(1 + sqrt(G))` of the likelihood ratio statistic
/// `G = 2 n KL` (Wilks 1938). The usual shares are mixed with a small uniform share, so that no
/// bucket has probability 0.
pub fn departure(counts: &[u16], usual: &[u16]) -> f64 {
    let total: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    let usual_total: f64 = usual.iter().map(|share| f64::from(*share)).sum();
    if total == 0.0 || usual_total == 0.0 {
        return 0.0;
    }
    const NOW_AND_THEN: f64 = 0.02;
    let floor = NOW_AND_THEN / usual.len() as f64;
    let divergence: f64 = counts
        .iter()
        .zip(usual)
        .filter(|(count, _)| **count > 0)
        .map(|(count, usual)| {
            let share = f64::from(*count) / total;
            let expected = (1.0 - NOW_AND_THEN) * f64::from(*usual) / usual_total + floor;
            share * (share / expected).ln()
        })
        .sum();
    (2.0 * total * divergence.max(0.0)).sqrt().ln_1p()
}
