//! Fits a density to features: robust scaling, principal components, a mixture of Gaussians.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::GaussianMixtureModel;
use linfa_linalg::eigh::{EigSort, EighInto};
use ndarray::{Array2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256Plus;

use super::TrainError;
use super::samples::Sample;
use crate::detect::outlier::bins::Bins;
use crate::detect::outlier::density::{Component, Density};
use crate::detect::outlier::survival::{LEVELS, Survival};

/// Scaled features are clamped to this absolute value.
const LIMIT: f64 = 3.0;
/// Constants of the normal distribution: standard deviation over median absolute deviation, and the
/// range from the 5th to the 95th percentile over the standard deviation.
const MAD_TO_DEVIATION: f64 = 1.4826;
const RANGE_TO_DEVIATION: f64 = 3.29;
/// Features are z-scores or logarithms; in both, a difference of half a unit is ordinary.
const MIN_SCALE: f64 = 0.5;
/// Standard deviation of the noise that is added to scaled features before the fit, which smooths
/// the density like a kernel. Without it, a feature that is mostly one number (a key with one
/// address) would make a component of zero width, from which every other value is infinitely far.
const NOISE: f64 = 0.7;
const MAX_COMPONENTS: usize = 4;
/// linfa adds this to variances.
const REGULARIZATION: f64 = 1e-3;
const MAX_ITERATIONS: u64 = 200;
const TOLERANCE: f64 = 1e-3;
/// More windows than this improve the mixture too little to be worth the time.
const MAX_SAMPLES: usize = 10_000;
/// The share of windows that are least like the others. The second fit leaves them out, because
/// unlabelled attacks are among them.
const TRIMMED: f64 = 0.01;
const MIN_SAMPLES: usize = 500;
/// A quantile is estimated only with at least this many windows beyond it.
const MIN_BEYOND: f64 = 20.0;

/// The quality of the fit with one number of components.
#[derive(Clone, Debug, PartialEq)]
pub struct Criterion {
    pub components: usize,
    /// Bayesian information criterion (Schwarz 1978): the lower the better.
    pub bic: f64,
}

/// A fitted density, and how its size was chosen.
#[derive(Clone, Debug)]
pub struct Fitted {
    pub density: Density,
    pub criteria: Vec<Criterion>,
}

/// Fits the density of `samples`. The same samples and seed give the same bytes.
///
/// # Errors
/// Returns an error for too few samples, or if linfa finds no fit.
pub fn fit(what: &'static str, samples: &[&Sample], seed: u64) -> Result<Fitted, TrainError> {
    if samples.len() < MIN_SAMPLES {
        return Err(TrainError::TooFew { what, found: samples.len(), needed: MIN_SAMPLES });
    }
    let mut density = frame(samples);
    let chosen = thinned(samples);
    let mut noise = ChaCha8Rng::seed_from_u64(seed);
    let scaled: Vec<Vec<f64>> =
        chosen.iter().map(|sample| noisy(density.scaled(&sample.features), &mut noise)).collect();
    density.whitening = whitening(&scaled)?;
    let whitened: Vec<Vec<f64>> = scaled.iter().map(|row| density.whitened(row)).collect();
    let mut best: Option<(f64, Vec<Component>)> = None;
    let mut criteria = Vec::new();
    for components in 1..=MAX_COMPONENTS {
        let Some(mixture) = mixture(&whitened, components, seed) else { continue };
        let bic = criterion(&mixture, &whitened);
        criteria.push(Criterion { components, bic });
        if best.as_ref().is_none_or(|(lowest, _)| bic < *lowest) {
            best = Some((bic, mixture));
        }
    }
    let (_, first) = best.ok_or(TrainError::NoFit { what })?;
    let kept = trimmed(&first, whitened);
    let components = mixture(&kept, first.len(), seed).unwrap_or(first);
    density.components = components.iter().map(rounded).collect();
    let scores = samples.iter().map(|sample| density.score(&sample.features)).collect();
    density.survival = survival(scores);
    Ok(Fitted { density, criteria })
}

/// A density with the medians, scales and deciles of the features; the rest is empty.
fn frame(samples: &[&Sample]) -> Density {
    let features = samples.first().map_or(0, |sample| sample.features.len());
    let mut density = Density {
        center: Vec::new(),
        scale: Vec::new(),
        limit: LIMIT,
        whitening: Vec::new(),
        components: Vec::new(),
        survival: survival(vec![0.0]),
        bins: Vec::new(),
    };
    for which in 0..features {
        let values = samples.iter().map(|sample| sample.features[which]);
        let sorted = sorted(values.filter(|value| !value.is_nan()).collect());
        let center = quantile(&sorted, 0.5);
        let distances = sorted_of(&sorted, |value| (value - center).abs());
        let by_median = MAD_TO_DEVIATION * quantile(&distances, 0.5);
        let by_range = (quantile(&sorted, 0.95) - quantile(&sorted, 0.05)) / RANGE_TO_DEVIATION;
        let scale = by_median.max(by_range);
        density.center.push(significant(center));
        density.scale.push(significant(scale.max(MIN_SCALE)));
        density.bins.push(bins(&sorted));
    }
    density
}

/// Bins between the deciles of sorted values.
fn bins(sorted: &[f64]) -> Bins {
    let deciles = (1..10).map(|tenth| significant(quantile(sorted, f64::from(tenth) / 10.0)));
    let mut edges: Vec<f64> = deciles.collect();
    edges.dedup();
    let up_to = |edge: &f64| sorted.partition_point(|value| value <= edge);
    let bounds: Vec<usize> =
        [0].into_iter().chain(edges.iter().map(up_to)).chain([sorted.len()]).collect();
    let whole = sorted.len().max(1) as f64;
    let share = |pair: &[usize]| significant((pair[1] - pair[0]) as f64 / whole);
    Bins { shares: bounds.windows(2).map(share).collect(), edges }
}

/// At most [`MAX_SAMPLES`] of the rows, evenly spaced.
fn thinned<'a>(samples: &[&'a Sample]) -> Vec<&'a Sample> {
    let count = samples.len().min(MAX_SAMPLES);
    (0..count).map(|n| samples[n * samples.len() / count]).collect()
}

fn noisy(row: Vec<f64>, random: &mut ChaCha8Rng) -> Vec<f64> {
    let draw = |value: f64| {
        let noise: f64 = StandardNormal.sample(random);
        value + NOISE * noise
    };
    row.into_iter().map(draw).collect()
}

/// Principal components as rows, each divided by its standard deviation, the largest first.
fn whitening(rows: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, TrainError> {
    let data = matrix(rows);
    let covariance = data.t().dot(&data) / rows.len() as f64;
    let (variances, vectors) = covariance
        .eigh_into()
        .map_err(|error| TrainError::Algebra(error.to_string()))?
        .sort_eig_desc();
    let row = |(variance, vector): (&f64, ndarray::ArrayView1<'_, f64>)| {
        // A vector and its opposite span the same axis. The sign is chosen so that the largest
        // entry is positive.
        let largest =
            vector.iter().copied().fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
        let factor = largest.signum() / variance.max(f64::MIN_POSITIVE).sqrt();
        vector.iter().map(|value| significant(value * factor)).collect()
    };
    Ok(variances.iter().zip(vectors.axis_iter(Axis(1))).map(row).collect())
}

/// Fits a mixture; `None` if linfa finds none.
fn mixture(rows: &[Vec<f64>], components: usize, seed: u64) -> Option<Vec<Component>> {
    let data = DatasetBase::from(matrix(rows));
    // linfa needs a generator of its own version of `rand`.
    let random = <Xoshiro256Plus as rand_xoshiro::rand_core::SeedableRng>::seed_from_u64(seed);
    let fitted = GaussianMixtureModel::params_with_rng(components, random)
        .reg_covariance(REGULARIZATION)
        .max_n_iterations(MAX_ITERATIONS)
        .tolerance(TOLERANCE)
        .n_runs(1)
        .fit(&data)
        .ok()?;
    let features = rows.first()?.len();
    let one = |which: usize| {
        let covariance = fitted.covariances().index_axis(Axis(0), which).to_owned();
        Some(Component {
            weight: fitted.weights()[which],
            mean: fitted.means().row(which).to_vec(),
            precision: inverse_factor(&covariance, features)?,
        })
    };
    (0..components).map(one).collect()
}

/// The inverse of the Cholesky factor: its lower triangle by rows.
fn inverse_factor(covariance: &Array2<f64>, features: usize) -> Option<Vec<f64>> {
    use linfa_linalg::cholesky::Cholesky;
    use linfa_linalg::triangular::{SolveTriangular, UPLO};
    let factor = covariance.cholesky().ok()?;
    let inverse = factor.solve_triangular(&Array2::eye(features), UPLO::Lower).ok()?;
    let triangle = (0..features).flat_map(|row| (0..=row).map(move |column| (row, column)));
    Some(triangle.map(|place| inverse[place]).collect())
}

fn criterion(components: &[Component], rows: &[Vec<f64>]) -> f64 {
    let features = rows.first().map_or(0, Vec::len);
    let each = 1 + features + features * (features + 1) / 2;
    let parameters = (components.len() * each - 1) as f64;
    let log_likelihood: f64 = rows.iter().map(|row| log_density(components, row)).sum();
    parameters * (rows.len() as f64).ln() - 2.0 * log_likelihood
}

/// The rows without those that are least like the others.
fn trimmed(components: &[Component], rows: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let densities: Vec<f64> = rows.iter().map(|row| log_density(components, row)).collect();
    let limit = quantile(&sorted(densities.clone()), TRIMMED);
    let kept = rows.into_iter().zip(densities).filter(|(_, density)| *density >= limit);
    kept.map(|(row, _)| row).collect()
}

fn log_density(components: &[Component], row: &[f64]) -> f64 {
    let logs: Vec<f64> = components.iter().map(|component| component.log_density(row)).collect();
    crate::detect::outlier::density::log_sum_exp(&logs)
}

fn matrix(rows: &[Vec<f64>]) -> Array2<f64> {
    let features = rows.first().map_or(0, Vec::len);
    Array2::from_shape_fn((rows.len(), features), |(row, column)| rows[row][column])
}

/// Quantiles and tail of the scores.
pub fn survival(scores: Vec<f64>) -> Survival {
    let sorted = sorted(scores);
    let count = sorted.len() as f64;
    let known = |level: &&f64| **level * count >= MIN_BEYOND;
    let deepest = LEVELS.iter().filter(known).copied().last().unwrap_or(LEVELS[0]);
    let from = quantile(&sorted, 1.0 - deepest);
    let beyond: Vec<f64> =
        sorted.iter().filter(|score| **score > from).map(|score| score - from).collect();
    let mean_excess = beyond.iter().sum::<f64>() / beyond.len().max(1) as f64;
    let mean_excess = significant(mean_excess.max(1e-3));
    let score = |level: &f64| {
        let further = mean_excess * (deepest / level).ln().max(0.0);
        significant(quantile(&sorted, 1.0 - level.max(deepest)) + further)
    };
    Survival { scores: LEVELS.iter().map(score).collect(), mean_excess }
}

fn rounded(component: &Component) -> Component {
    let all = |values: &[f64]| values.iter().copied().map(significant).collect();
    Component {
        weight: significant(component.weight),
        mean: all(&component.mean),
        precision: all(&component.precision),
    }
}

/// Rounds to six significant digits, which are precise enough and easy to review.
fn significant(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

fn sorted_of(values: &[f64], of: impl Fn(f64) -> f64) -> Vec<f64> {
    sorted(values.iter().copied().map(of).collect())
}

/// Quantile of sorted values; 0 without values.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((share * last as f64).round() as usize).copied().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use linfa::dataset::Records;
    use rand::RngExt;

    use super::*;

    /// Samples of two clusters of keys, with a feature that is nearly always 0.
    fn sample_windows(count: usize) -> Vec<Sample> {
        let mut random = ChaCha8Rng::seed_from_u64(9);
        let mut normal = move || -> f64 { StandardNormal.sample(&mut random) };
        let mut choice = ChaCha8Rng::seed_from_u64(4);
        (0..count)
            .map(|n| {
                let at = if choice.random::<f64>() < 0.3 { 4.0 } else { 0.0 };
                let (a, b) = (normal(), normal());
                let rare = if n % 200 == 0 { 1.0 } else { 0.0 };
                Sample {
                    key: n as u32 / 50,
                    features: vec![at + a, 0.5 * a + b, rare],
                    learned: 20,
                }
            })
            .collect()
    }

    #[test]
    fn the_same_samples_give_the_same_bytes_and_another_seed_others() {
        let samples = sample_windows(2_000);
        let samples: Vec<&Sample> = samples.iter().collect();
        let bytes = |seed| serde_json::to_vec(&fit("x", &samples, seed).unwrap().density).unwrap();
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    #[test]
    fn a_fitted_density_calls_the_unusual_unusual_and_calibrates_it() {
        let samples = sample_windows(4_000);
        let samples: Vec<&Sample> = samples.iter().collect();
        let Fitted { density, criteria } = fit("x", &samples, 1).unwrap();
        assert!(density.fits(3) && criteria.len() >= 2);
        let surprise = |features: &[f64]| density.survival.surprise(density.score(features));
        assert!(surprise(&[0.0, 0.0, 0.0]) < 1.0);
        assert!(surprise(&[-6.0, 5.0, 1.0]) > surprise(&[-2.0, 2.0, 0.0]) + 2.0);
        let beyond = samples.iter().filter(|s| surprise(&s.features) > 100f64.ln()).count();
        assert!((20..=60).contains(&beyond), "{beyond} of 4,000 are called one in a hundred");
    }

    #[test]
    fn bins_hold_the_shares_of_training_and_none_when_all_values_are_one() {
        let mut values: Vec<f64> = vec![0.0; 900];
        values.extend((0..100).map(f64::from));
        let bins = bins(&sorted(values));
        assert!(bins.is_usable());
        assert_eq!((bins.edges, bins.shares), (vec![0.0], vec![0.901, 0.099]));
        assert_eq!(super::bins(&[2.0; 50]).shares, [1.0, 0.0]);
    }

    #[test]
    fn too_few_windows_are_said_to_be_too_few() {
        let samples = sample_windows(MIN_SAMPLES - 1);
        let samples: Vec<&Sample> = samples.iter().collect();
        let error = fit("of all keys", &samples, 1).unwrap_err().to_string();
        assert!(error.starts_with("499 windows (of all keys) are too few"), "{error}");
    }

    /// linfa does not expose densities, but its responsibilities are ratios of densities.
    #[test]
    fn our_density_agrees_with_linfa_s_where_linfa_s_does_not_underflow() {
        let rows: Vec<Vec<f64>> =
            sample_windows(1_000).into_iter().map(|sample| sample.features[..2].to_vec()).collect();
        let data = DatasetBase::from(matrix(&rows));
        assert_eq!(data.nsamples(), 1_000);
        let random = <Xoshiro256Plus as rand_xoshiro::rand_core::SeedableRng>::seed_from_u64(3);
        let linfa = GaussianMixtureModel::params_with_rng(2, random)
            .reg_covariance(REGULARIZATION)
            .max_n_iterations(MAX_ITERATIONS)
            .tolerance(TOLERANCE)
            .n_runs(1)
            .fit(&data)
            .unwrap();
        let ours = mixture(&rows, 2, 3).unwrap();
        let near = [vec![0.0, 0.0], vec![2.0, 1.0], vec![5.0, -1.0], vec![-3.0, 2.0]];
        let theirs = linfa.predict_proba(&matrix(&near));
        for (row, point) in near.iter().enumerate() {
            let total = log_density(&ours, point);
            for (which, component) in ours.iter().enumerate() {
                let own = (component.log_density(point) - total).exp();
                assert!((own - theirs[[row, which]]).abs() < 1e-9, "{point:?}: {own}");
            }
        }
        let far = vec![vec![400.0, -300.0]];
        let theirs = linfa.predict_proba(&matrix(&far))[[0, 0]];
        assert!(!(0.0..=1.0).contains(&theirs), "linfa underflows here: {theirs}");
        assert!(log_density(&ours, &far[0]).is_finite());
    }
}
