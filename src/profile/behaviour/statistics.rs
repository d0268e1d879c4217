//! A window of behaviour that is over, in numbers.

use super::observation::{ADDRESS_BUCKETS, PLACE_BUCKETS, ROUTE_BUCKETS};

const MINUTES: f64 = 60.0;

/// Counts and sums of one key's window, made by [`super::Window`] or by polars in training.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Number of the window since the epoch.
    pub index: i32,
    pub requests: f64,
    /// 4xx and 5xx but for the two below.
    pub errors: f64,
    /// 401 and 403.
    pub refused: f64,
    /// 429.
    pub throttled: f64,
    /// With a nonce or a signature.
    pub signed: f64,
    /// Filled address buckets.
    pub addresses: f64,
    /// Minutes with a request.
    pub minutes: f64,
    /// Seconds between requests as they came, at least 0; their sum and the sum of squares.
    pub gap_sum: f64,
    pub gap_squares: f64,
    /// Requests whose answer's size is known, and the sum of `ln(1 + bytes)`.
    pub sized: f64,
    pub size_sum: f64,
    /// Requests with a client time, and the sum of `asinh` of the skew in seconds.
    pub timed: f64,
    pub skew_sum: f64,
    /// Requests by bucket; at most 65,535 each.
    pub routes: [u16; ROUTE_BUCKETS],
    pub places: [u16; PLACE_BUCKETS],
}

impl Statistics {
    pub fn volume(&self) -> f64 {
        self.requests.ln_1p()
    }

    /// Distinct addresses, estimated, as a logarithm.
    pub fn log_addresses(&self) -> f64 {
        let buckets = ADDRESS_BUCKETS as f64;
        let empty = (buckets - self.addresses).max(0.5);
        (-buckets * (empty / buckets).ln()).max(1.0).ln()
    }

    /// Minutes in use against those that as many independent requests would fill, as a logarithm.
    pub fn log_spread(&self) -> f64 {
        let filled = MINUTES * (1.0 - (1.0 - 1.0 / MINUTES).powf(self.requests));
        (self.minutes.max(1.0) / filled.max(1.0)).ln()
    }

    /// From -1 (a clock) over 0 (chance) to 1 (bursts): `(s - m) / (s + m)` of the gaps (Goh
    /// and Barabási, Europhysics Letters 81, 2008). `None` of fewer than three gaps.
    pub fn burstiness(&self) -> Option<f64> {
        let gaps = self.requests - 1.0;
        if gaps < 3.0 || self.gap_sum <= 0.0 {
            return None;
        }
        let mean = self.gap_sum / gaps;
        let deviation = (self.gap_squares / gaps - mean * mean).max(0.0).sqrt();
        Some((deviation - mean) / (deviation + mean))
    }

    pub fn mean_size(&self) -> Option<f64> {
        (self.sized > 0.0).then(|| self.size_sum / self.sized)
    }

    pub fn mean_skew(&self) -> Option<f64> {
        (self.timed > 0.0).then(|| self.skew_sum / self.timed)
    }
}

/// Entropy in nats, with the correction of Miller and Madow (1955) for few counts.
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

/// How far counts are from usual shares: `ln(1 + sqrt(G))` of the likelihood ratio statistic
/// `G = 2 n KL` (Wilks 1938). Each bucket is thought to be used now and then.
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
