//! Computes tail probabilities of the distributions that detection needs.

use std::f64::consts::{FRAC_2_PI, SQRT_2};

use statrs::function::beta::beta_reg;
use statrs::function::erf::erfc;

use super::burst::BurstForecast;
use super::profile::Forecast;

/// Logarithmic opinion pool (Genest and Zidek, Statistical Science 1, 1986): the weighted geometric
/// mean of probabilities of the same observation. `opinions` are pairs of probability and weight.
pub fn pooled<const N: usize>(opinions: [(f64, f64); N]) -> f64 {
    let weights: f64 = opinions.iter().map(|(_, weight)| weight).sum();
    let logarithms: f64 = opinions.iter().map(|(p, weight)| weight * p.ln()).sum();
    (logarithms / weights).exp()
}

/// P(|X| >= |deviations|) for a standard Cauchy variable, which is Student's t with one degree of
/// freedom. It suits amounts of an unknown distribution whose scale is estimated from few values.
pub fn heavy_tail(deviations: f64) -> f64 {
    // 1 - 2/pi atan(x) equals 2/pi atan(1/x), which stays precise for large x.
    FRAC_2_PI * deviations.abs().max(f64::MIN_POSITIVE).recip().atan().max(f64::MIN_POSITIVE)
}

/// P(X >= count) for a log-normal variable with this median and spread.
pub fn log_normal_tail(count: u64, forecast: BurstForecast) -> f64 {
    let deviations = (count as f64 / forecast.median).ln() / forecast.spread;
    (erfc(deviations / SQRT_2) / 2.0).max(f64::MIN_POSITIVE)
}

/// P(X >= count) for a negative binomial variable with this mean and size, by the regularized
/// incomplete beta function (Abramowitz and Stegun 26.5.26).
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
    fn the_heavy_tail_is_one_half_at_the_scale_and_precise_far_out() {
        assert!((heavy_tail(0.0) - 1.0).abs() < 1e-12);
        assert!((heavy_tail(-1.0) - 0.5).abs() < 1e-12);
        assert!((heavy_tail(1e12) / (FRAC_2_PI * 1e-12) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn pooled_opinions_lie_between_the_single_ones() {
        assert!((pooled([(1e-8, 1.0), (1e-4, 1.0)]) / 1e-6 - 1.0).abs() < 1e-9);
        assert!((pooled([(1e-8, 1.0), (1e-4, 0.0)]) / 1e-8 - 1.0).abs() < 1e-9);
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
