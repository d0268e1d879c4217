//! The distribution of a count that is yet to come.

/// Standard normal quantile of 0.995: an interval that holds 99 of 100 usual rows.
const NORMAL_QUANTILE: f64 = 2.5758;
/// Below this a variance says nothing.
const TINY: f64 = 1e-12;

/// What a count is expected to be: its mean, and its variance as learned, which is
/// above the mean (overdispersed) for most traffic and may be below it for amounts
/// that are not counts.
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

    /// Where 99 of 100 usual counts lie: quantiles of the gamma distribution of this
    /// mean and variance by the cube-root approximation (Wilson and Hilferty 1931).
    pub fn interval(&self) -> (f64, f64) {
        let deviation = self.variance.sqrt();
        if self.mean <= 0.0 {
            let reach = NORMAL_QUANTILE * deviation;
            return (self.mean - reach, self.mean + reach);
        }
        let ninth = (deviation / self.mean).powi(2) / 9.0;
        let cubed = |quantile: f64| (1.0 - ninth + quantile * ninth.sqrt()).max(0.0).powi(3);
        // A count far below one is skewed beyond the approximation: keep the mean inside.
        let upper = (self.mean * cubed(NORMAL_QUANTILE)).max(self.mean + deviation);
        ((self.mean * cubed(-NORMAL_QUANTILE)).min(self.mean), upper)
    }
}
