//! Learns the distribution of the sizes of a key's bursts.

use serde::{Deserialize, Serialize};

/// Weight of [`PRIOR_SPREAD`], in bursts.
const PRIOR_BURSTS: f32 = 8.0;
/// Prior standard deviation of the logarithms of burst sizes.
const PRIOR_SPREAD: f32 = 0.7;

/// Sizes are clamped to at most this far below the mean, a factor of about a third. The end of a
/// window can cut a burst in two, and the smaller part must not lower the mean by more.
const SMALLEST_END: f32 = -1.0;

/// Log-normal distribution of the sizes of bursts. The tail of a negative binomial falls
/// exponentially, which is too light: for a trading client, it makes the tenth largest burst of a
/// week nearly impossible.
///
/// A size is the logarithm of a window's count divided by its expectation, or by one if the
/// expectation is smaller. Independent requests grow with the season; bursts do not.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Bursts {
    /// Decayed number of windows with requests.
    weight: f32,
    mean: f32,
    /// Decayed sum of squared deviations of the sizes above the mean. Sizes below it, such as the
    /// smaller parts of divided bursts, are not evidence about the largest bursts.
    upper: f32,
}

/// Predictive distribution of a burst's size: log-normal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurstForecast {
    /// Median number of requests in a window with requests.
    pub median: f64,
    /// Standard deviation of the logarithm.
    pub spread: f64,
}

impl Bursts {
    /// Learns a window with `count` requests where `expected` were expected. `decay` is the factor
    /// on the weight of earlier windows.
    pub fn learn(&mut self, count: f32, expected: f32, decay: f32) {
        let size = (count / expected.max(1.0)).ln();
        let weight = self.weight * decay + 1.0;
        let before = (size - self.mean).max(SMALLEST_END);
        self.mean += before / weight;
        let above = before.max(0.0) * (size - self.mean).max(0.0);
        self.upper = self.upper * decay + above;
        self.weight = weight;
    }

    /// Forecast for a window in which `expected` requests are expected. `None` before the first
    /// burst.
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
    fn independent_requests_scale_with_their_expectation() {
        let mut bursts = Bursts::default();
        for n in 0..200u8 {
            bursts.learn(100.0 + f32::from(n % 20), 110.0, 0.999);
        }
        let night = bursts.forecast(20.0).unwrap();
        assert!((night.median / 20.0).ln().abs() < 0.1 && night.spread < 0.25, "{night:?}");
    }

    #[test]
    fn the_smaller_parts_of_divided_bursts_do_not_make_large_bursts_likely() {
        let (mut whole, mut cut) = (Bursts::default(), Bursts::default());
        for n in 0..200u8 {
            whole.learn(200.0, 0.5, 0.999);
            cut.learn(if n % 8 == 7 { 3.0 } else { 200.0 }, 0.5, 0.999);
        }
        let spread = |bursts: &Bursts| bursts.forecast(0.5).unwrap().spread;
        assert!(spread(&cut) < 2.5 * spread(&whole), "{} {}", spread(&cut), spread(&whole));
    }
}
