//! The few distributions that detection needs.

use std::f64::consts::SQRT_2;

use statrs::function::beta::beta_reg;
use statrs::function::erf::erfc;

use crate::profile::rate::{BurstForecast, Forecast};

/// P(X >= count) for a log-normal variable.
pub fn log_normal_tail(count: u64, forecast: BurstForecast) -> f64 {
    let deviations = (count as f64 / forecast.median).ln() / forecast.spread;
    (erfc(deviations / SQRT_2) / 2.0).max(f64::MIN_POSITIVE)
}

/// P(X >= count) for a negative binomial with this mean and size.
///
/// Through the regularized incomplete beta function (Abramowitz and Stegun 26.5.26).
pub fn negative_binomial_tail(count: u64, forecast: Forecast) -> f64 {
    if count == 0 {
        return 1.0;
    }
    let success = forecast.mean / (forecast.mean + forecast.size);
    if !(success > 0.0 && success < 1.0) {
        return if success >= 1.0 { 1.0 } else { 0.0 };
    }
    beta_reg(count as f64, forecast.size, success).max(f64::MIN_POSITIVE)
}

/// Smallest count whose tail probability is below `tail`.
pub fn negative_binomial_quantile(forecast: Forecast, tail: f64) -> u64 {
    let mut upper = 1;
    while negative_binomial_tail(upper, forecast) >= tail && upper < 1 << 40 {
        upper *= 2;
    }
    let mut lower = upper / 2;
    while lower + 1 < upper {
        let middle = lower + (upper - lower) / 2;
        if negative_binomial_tail(middle, forecast) >= tail {
            lower = middle;
        } else {
            upper = middle;
        }
    }
    upper
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_equals_the_sum_of_the_distribution() {
        // Size 1 is geometric: P(X >= k) = (mean / (mean + 1))^k.
        let forecast = Forecast { mean: 4.0, size: 1.0 };
        for count in [0u64, 1, 5, 40] {
            let exact = 0.8f64.powi(count as i32);
            let tail = negative_binomial_tail(count, forecast);
            assert!((tail / exact - 1.0).abs() < 1e-9, "{count}: {tail} for {exact}");
        }
    }

    #[test]
    fn far_tails_stay_positive_and_ordered() {
        let forecast = Forecast { mean: 1e-3, size: 1e-4 };
        let mut last = 1.0;
        for exponent in 0..9 {
            let tail = negative_binomial_tail(10u64.pow(exponent), forecast);
            assert!(tail > 0.0 && tail <= last);
            last = tail;
        }
    }

    #[test]
    fn the_quantile_is_the_first_count_below_the_tail() {
        let forecast = Forecast { mean: 50.0, size: 3.0 };
        let count = negative_binomial_quantile(forecast, 0.01);
        assert!(negative_binomial_tail(count, forecast) < 0.01);
        assert!(negative_binomial_tail(count - 1, forecast) >= 0.01);
    }
}
