//! The distribution of a count that is yet to come.

use statrs::function::beta::beta_reg;
use statrs::function::gamma::{gamma_lr, gamma_ur};

/// Below this a variance says nothing.
const TINY: f64 = 1e-12;
/// Halvings of a quantile search; enough for the 52 bits of a double.
const BISECTIONS: usize = 64;

/// A gamma-Poisson (negative binomial) count of given mean and variance.
///
/// A variance below the mean, which no gamma-Poisson has, is taken as a Poisson
/// count of smaller units: amounts that are not counts (fractions) are such.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    mean: f64,
    variance: f64,
}

impl Prediction {
    pub fn new(mean: f64, variance: f64) -> Self {
        Self { mean, variance: variance.max(TINY) }
    }

    pub fn mean(&self) -> f64 {
        self.mean
    }

    pub fn variance(&self) -> f64 {
        self.variance
    }

    /// Probability of a count of at least `observed`.
    pub fn at_least(&self, observed: f64) -> f64 {
        self.tails(observed - self.unit()).1
    }

    /// Probability of a count of at most `observed`.
    pub fn at_most(&self, observed: f64) -> f64 {
        self.tails(observed).0
    }

    /// Where a share `coverage` of the counts lies, equal tails cut on both sides.
    pub fn interval(&self, coverage: f64) -> (f64, f64) {
        if self.mean <= 0.0 {
            let reach = 3.0 * self.variance.sqrt();
            return (self.mean - reach, self.mean + reach);
        }
        let tail = (1.0 - coverage) / 2.0;
        (self.quantile(tail), self.quantile(1.0 - tail))
    }

    /// What one count is worth: less than one only for amounts finer than counts.
    fn unit(&self) -> f64 {
        if self.mean > 0.0 { (self.variance / self.mean).min(1.0) } else { 1.0 }
    }

    /// Probabilities of at most and of more than `observed`, continued between counts.
    fn tails(&self, observed: f64) -> (f64, f64) {
        if observed < 0.0 {
            return (0.0, 1.0);
        }
        if self.mean <= 0.0 {
            return (1.0, 0.0);
        }
        let unit = self.unit();
        let (count, mean) = (observed / unit + 1.0, self.mean / unit);
        let excess = self.variance / unit / unit - mean;
        if excess <= 1e-9 * mean {
            return (gamma_ur(count, mean), gamma_lr(count, mean));
        }
        // Gamma shape r and success probability p of the negative binomial.
        let r = mean * mean / excess;
        let p = r / (r + mean);
        (beta_reg(r, count, p), beta_reg(count, r, 1.0 - p))
    }

    /// The least count, continued between counts, that is not exceeded with this probability.
    fn quantile(&self, probability: f64) -> f64 {
        let mut low = 0.0;
        let mut high = self.mean + self.variance.sqrt();
        while self.at_most(high) < probability && high < f64::MAX / 4.0 {
            high *= 2.0;
        }
        for _ in 0..BISECTIONS {
            let middle = (low + high) / 2.0;
            if self.at_most(middle) < probability { low = middle } else { high = middle }
        }
        high
    }
}
