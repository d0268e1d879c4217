//! Scores whitened features by a mixture of Gaussians.

use serde::{Deserialize, Serialize};

use super::bins::Bins;
use super::survival::Survival;

/// One Gaussian of a mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    pub weight: f64,
    pub mean: Vec<f64>,
    /// The inverse of the Cholesky factor of the covariance: its lower triangle by rows.
    pub precision: Vec<f64>,
}

/// The distribution of ordinary windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Density {
    /// Median of each feature.
    pub center: Vec<f64>,
    /// Robust standard deviation of each feature.
    pub scale: Vec<f64>,
    /// Scaled features are clamped to this, so that no single feature makes an outlier. An anomaly
    /// of one number has a detector of its own.
    pub limit: f64,
    /// Principal components by rows, each divided by its standard deviation.
    pub whitening: Vec<Vec<f64>>,
    pub components: Vec<Component>,
    /// Distribution of the scores of ordinary windows.
    pub survival: Survival,
    /// Distribution of each feature in training, to measure drift.
    pub bins: Vec<Bins>,
}

const LOG_TWO_PI: f64 = 1.837_877_066_409_345_5;

impl Density {
    /// Whether all parts have the sizes that `features` features need.
    pub fn fits(&self, features: usize) -> bool {
        let triangle = features * (features + 1) / 2;
        let finite = |values: &[f64]| values.iter().all(|value| value.is_finite());
        self.center.len() == features
            && self.scale.len() == features
            && self.scale.iter().all(|scale| *scale > 0.0)
            && self.limit > 0.0
            && self.whitening.len() == features
            && self.whitening.iter().all(|row| row.len() == features && finite(row))
            && !self.components.is_empty()
            && self.components.iter().all(|component| {
                component.weight > 0.0
                    && component.mean.len() == features
                    && component.precision.len() == triangle
                    && finite(&component.mean)
                    && finite(&component.precision)
                    && diagonal(&component.precision, features).all(|value| value > 0.0)
            })
            && self.survival.is_usable()
            && self.bins.len() == features
            && self.bins.iter().all(Bins::is_usable)
    }

    /// Features in robust deviations from their medians, clamped. Unknown ones (NaN) are 0.
    pub fn scaled(&self, features: &[f64]) -> Vec<f64> {
        let by_feature = features.iter().zip(&self.center).zip(&self.scale);
        by_feature
            .map(|((value, center), scale)| {
                let scaled = (value - center) / scale;
                if scaled.is_nan() { 0.0 } else { scaled.clamp(-self.limit, self.limit) }
            })
            .collect()
    }

    /// The features projected on the principal components.
    pub fn whitened(&self, scaled: &[f64]) -> Vec<f64> {
        self.whitening.iter().map(|row| dot(row, scaled)).collect()
    }

    /// Minus the logarithm of the density of whitened features. Higher is stranger.
    pub fn score(&self, features: &[f64]) -> f64 {
        let whitened = self.whitened(&self.scaled(features));
        let logs = self.components.iter().map(|component| component.log_density(&whitened));
        let logs: Vec<f64> = logs.collect();
        -log_sum_exp(&logs)
    }

    /// Logarithm of the density in the units of the features themselves, so that two models can be
    /// compared. (Because of the clamp at `limit`, it does not quite integrate to one.)
    pub fn log_density(&self, features: &[f64]) -> f64 {
        // Rows of the whitening are orthogonal: the determinant is the product of their lengths.
        let lengths = self.whitening.iter().map(|row| 0.5 * dot(row, row).ln()).sum::<f64>();
        let scales = self.scale.iter().map(|scale| scale.ln()).sum::<f64>();
        lengths - scales - self.score(features)
    }

    /// The part of each feature in the squared Mahalanobis distance from the nearest component.
    /// Features that make the window more ordinary count below 0.
    ///
    /// This is the distance's gradient times the features, as the whitening mixes them (the
    /// corr-max idea of Garthwaite and Koch, Annals of Applied Statistics 2016, for a mixture).
    pub fn contributions(&self, features: &[f64]) -> Vec<f64> {
        let scaled = self.scaled(features);
        let whitened = self.whitened(&scaled);
        let nearest = self
            .components
            .iter()
            .max_by(|a, b| a.log_density(&whitened).total_cmp(&b.log_density(&whitened)));
        let Some(nearest) = nearest else { return vec![0.0; features.len()] };
        let pull = nearest.pull(&whitened);
        let by_feature = scaled.iter().enumerate().map(|(which, value)| {
            let along: f64 =
                self.whitening.iter().zip(&pull).map(|(row, pull)| row[which] * pull).sum();
            value * along
        });
        by_feature.collect()
    }

    /// The component that most likely generated these features.
    pub fn nearest(&self, features: &[f64]) -> usize {
        let whitened = self.whitened(&self.scaled(features));
        let logs = self.components.iter().map(|component| component.log_density(&whitened));
        let best = logs.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        best.map_or(0, |(which, _)| which)
    }
}

impl Component {
    /// Logarithm of the weight times the normal density.
    pub fn log_density(&self, whitened: &[f64]) -> f64 {
        let features = whitened.len() as f64;
        let standardized = self.standardized(whitened);
        let distance = dot(&standardized, &standardized);
        // One logarithm of the product is enough: deviations are near 1, so that the product
        // neither overflows nor underflows.
        let determinant: f64 = diagonal(&self.precision, whitened.len()).product();
        self.weight.ln() + determinant.ln() - 0.5 * (distance + features * LOG_TWO_PI)
    }

    fn standardized(&self, whitened: &[f64]) -> Vec<f64> {
        let differences = whitened.iter().zip(&self.mean).map(|(value, mean)| value - mean);
        let differences: Vec<f64> = differences.collect();
        let row = |row: usize| dot(&self.precision[row * (row + 1) / 2..][..=row], &differences);
        (0..whitened.len()).map(row).collect()
    }

    /// The precision matrix times the difference from the mean.
    fn pull(&self, whitened: &[f64]) -> Vec<f64> {
        let mut pull = vec![0.0; whitened.len()];
        for (row, value) in self.standardized(whitened).into_iter().enumerate() {
            let factors = &self.precision[row * (row + 1) / 2..][..=row];
            for (pull, factor) in pull.iter_mut().zip(factors) {
                *pull += factor * value;
            }
        }
        pull
    }
}

fn diagonal(triangle: &[f64], features: usize) -> impl Iterator<Item = f64> + '_ {
    (0..features).map(|row| triangle[row * (row + 3) / 2])
}

/// The dot product of `a` and the first values of `b`.
///
/// Four sums run in parallel. With one sum, most of a score's time would be spent waiting for the
/// previous addition.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 4;
    let b = &b[..a.len()];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0; LANES];
    for (a, b) in a.zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// `ln(sum(exp))` without underflow. linfa 0.8.1 sums the plain exponentials, and calls everything
/// beyond 38 standard deviations impossible.
pub fn log_sum_exp(logs: &[f64]) -> f64 {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return largest;
    }
    largest + logs.iter().map(|log| (log - largest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::super::survival::LEVELS;
    use super::*;

    /// Two unit Gaussians at -3 and 3 on the first of two features.
    fn density() -> Density {
        let component =
            |mean| Component { weight: 0.5, mean: vec![mean, 0.0], precision: vec![1.0, 0.0, 1.0] };
        Density {
            center: vec![0.0; 2],
            scale: vec![1.0; 2],
            limit: 1e6,
            whitening: vec![vec![1.0, 0.0], vec![0.0, 1.0]],
            components: vec![component(-3.0), component(3.0)],
            survival: Survival {
                scores: LEVELS.iter().map(|l| -l.ln()).collect(),
                mean_excess: 1.0,
            },
            bins: vec![Bins { edges: Vec::new(), shares: vec![1.0] }; 2],
        }
    }

    #[test]
    fn the_score_is_minus_the_log_density_also_far_out() {
        let density = density();
        assert!(density.fits(2) && !density.fits(3));
        let by_hand = |x: f64, y: f64| {
            let near = (-0.5 * ((x - 3.0).powi(2) + y * y)).exp();
            let far = (-0.5 * ((x + 3.0).powi(2) + y * y)).exp();
            -(0.5 * (near + far) / std::f64::consts::TAU).ln()
        };
        for (x, y) in [(0.0, 0.0), (3.0, 0.0), (1.0, -2.0), (-8.0, 5.0)] {
            assert!((density.score(&[x, y]) - by_hand(x, y)).abs() < 1e-12);
        }
        let far = density.score(&[1_003.0, 0.0]);
        assert!((far - (500_000.0 + 2f64.ln() + LOG_TWO_PI)).abs() < 1e-6, "{far}");
        assert_eq!(density.score(&[f64::NAN, 0.0]), density.score(&[0.0, 0.0]));
    }

    #[test]
    fn the_density_in_the_features_measure_does_not_depend_on_how_they_are_scaled() {
        let density = density();
        // The same distribution, of features in other units.
        let mut scaled = density.clone();
        scaled.scale = vec![10.0, 0.1];
        let change = (10.0 * 0.1f64).ln();
        let (here, there) = (density.log_density(&[1.0, 2.0]), scaled.log_density(&[10.0, 0.2]));
        assert!((here - (there + change)).abs() < 1e-12, "{here} {there}");
        assert_eq!(here, -density.score(&[1.0, 2.0]));
    }

    #[test]
    fn contributions_name_the_feature_that_is_off() {
        let contributions = density().contributions(&[3.1, -5.0]);
        assert!((contributions[1] - 25.0).abs() < 1e-9, "{contributions:?}");
        assert!(contributions[0] < 1.0, "{contributions:?}");
        assert_eq!(density().nearest(&[2.0, 0.0]), 1);
    }

    #[test]
    fn no_single_feature_goes_beyond_the_limit() {
        let density = Density { limit: 4.0, ..density() };
        assert_eq!(density.score(&[0.0, 1e9]), density.score(&[0.0, 4.0]));
    }
}
