//! How large a key's bursts are.

use serde::{Deserialize, Serialize};

/// The prior spread weighs as much as this many bursts.
const PRIOR_BURSTS: f32 = 8.0;
/// Standard deviation of the logarithms of bursts of which nothing is known.
const PRIOR_SPREAD: f32 = 0.7;

/// A burst cut in two by the end of a window lowers the mean by no more than this, a third.
const SMALLEST_END: f32 = -1.0;

/// Sizes of bursts are log-normal: the tail of a negative binomial, which ends exponentially,
/// makes a trader's tenth largest burst of a week a wonder.
///
/// A size is the logarithm of how many times its expectation, or one request if that is more, a
/// window held: what comes one by one grows with the season, what comes in bursts does not.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Bursts {
    /// Windows that held something, decayed.
    weight: f32,
    mean: f32,
    /// Decayed sum of squared deviations of sizes above the mean. What lies below it, such as the
    /// ends of bursts cut in two, says nothing of the largest.
    upper: f32,
}

/// What the sizes of bursts are expected to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurstForecast {
    /// Requests in a window that holds something: the median.
    pub median: f64,
    /// Standard deviation of the logarithm.
    pub spread: f64,
}

impl Bursts {
    /// Takes a window that held `count` of `expected` requests; what is known counts `decay`.
    pub fn learn(&mut self, count: f32, expected: f32, decay: f32) {
        let size = (count / expected.max(1.0)).ln();
        let weight = self.weight * decay + 1.0;
        let before = (size - self.mean).max(SMALLEST_END);
        self.mean += before / weight;
        let above = before.max(0.0) * (size - self.mean).max(0.0);
        self.upper = self.upper * decay + above;
        self.weight = weight;
    }

    /// For a window in which `expected` requests are expected; nothing before the first burst.
    pub fn forecast(&self, expected: f64) -> Option<BurstForecast> {
        if self.weight <= 0.0 {
            return None;
        }
        let prior = PRIOR_BURSTS * PRIOR_SPREAD * PRIOR_SPREAD;
        // Half of a symmetric distribution lies above its mean.
        let variance = (2.0 * self.upper + prior) / (self.weight + PRIOR_BURSTS);
        let uncertain = 1.0 + 1.0 / (self.weight + 1.0);
        Some(BurstForecast {
            median: f64::from(self.mean).exp() * expected.max(1.0),
            spread: f64::from(variance * uncertain).sqrt(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, LogNormal};

    use super::*;

    #[test]
    fn log_normal_bursts_are_recovered() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let sizes = LogNormal::new(10f32.ln(), 0.9).unwrap();
        let mut bursts = Bursts::default();
        for _ in 0..5_000 {
            bursts.learn(sizes.sample(&mut random), 0.2, 0.999);
        }
        let BurstForecast { median, spread } = bursts.forecast(0.2).unwrap();
        assert!(
            (median / 10.0).ln().abs() < 0.15 && (spread - 0.9).abs() < 0.1,
            "{median} {spread}"
        );
    }

    #[test]
    fn what_comes_one_by_one_grows_with_its_expectation() {
        let mut bursts = Bursts::default();
        for n in 0..200u8 {
            bursts.learn(100.0 + f32::from(n % 20), 110.0, 0.999);
        }
        let night = bursts.forecast(20.0).unwrap();
        assert!((night.median / 20.0).ln().abs() < 0.1 && night.spread < 0.25, "{night:?}");
    }

    #[test]
    fn small_ends_of_bursts_do_not_make_large_ones_likely() {
        let (mut whole, mut cut) = (Bursts::default(), Bursts::default());
        for n in 0..200u8 {
            whole.learn(200.0, 0.5, 0.999);
            cut.learn(if n % 8 == 7 { 3.0 } else { 200.0 }, 0.5, 0.999);
        }
        let spread = |bursts: &Bursts| bursts.forecast(0.5).unwrap().spread;
        assert!(spread(&cut) < 2.5 * spread(&whole), "{} {}", spread(&cut), spread(&whole));
    }
}
