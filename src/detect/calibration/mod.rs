//! Corrects p-values by what the fleet really does.
//!
//! A model's p-value is right only if the model is. The calibration counts the worst score of each
//! key in each hour. It fits the tail above a base score with a generalized Pareto distribution
//! (Pickands 1975; Coles, An Introduction to Statistical Modeling of Extreme Values, ch. 4). If the
//! fleet exceeds a p-value more often than the model promises, the calibration raises the p-value
//! to the measured frequency.
//!
//! Hours in which a key was suspected are left out. The fit uses only scores below the alert
//! threshold, and accounts for that by a truncated likelihood. Attacks therefore neither hide in
//! the tail nor inflate it.

mod prior;

use serde::{Deserialize, Serialize};

pub use self::prior::CalibrationPrior;
use super::{Family, Thresholds, surprise};
use crate::profile::scores::{SCORED_FAMILIES, WorstScores};

/// Families whose scores are measured. Rules are facts and have none.
pub const MEASURED: [Family; SCORED_FAMILIES] = [
    Family::Rate,
    Family::Outcome,
    Family::Place,
    Family::Replay,
    Family::Behaviour,
    Family::Joint,
];

/// Index of a family in [`MEASURED`], and in the saved scores and tails.
fn place_of(family: Family) -> Option<usize> {
    MEASURED.iter().position(|measured| *measured == family)
}

/// Families whose p-values are corrected: counts, whose tail goes on as it begins, and weak signs
/// together, whose p-value rests on how they depend. Places and
/// replays do not: a tail of people who change their carrier says nothing of a journey that
/// is impossible. Their promise is measured and shown.
const fn is_corrected(family: Family) -> bool {
    matches!(family, Family::Rate | Family::Outcome | Family::Behaviour | Family::Joint)
}

/// Score of the p-value 1/e: the mean of `-10 log10(p)` for a uniform p.
const EXPONENTIAL_SCALE: f64 = 10.0 / std::f64::consts::LN_10;
/// The tail begins where a true model has this many exceedances a key and hour.
const BASE_RATE: f64 = 0.02;
/// The model's prior weighs as much as this many exceedances. A few days of a small fleet, with
/// undetected attacks in them, must not silence the detectors.
const PRIOR_EXCEEDANCES: f64 = 1_000.0;
/// Number of distinct scores: the highest one is one less.
const SCORES: usize = 256;
/// The tail is fitted again after this many key-hours.
const REFIT_KEY_HOURS: u32 = 500;
/// Each fit also ages the counts: they are halved in this many key-hours.
const HALF_LIFE_KEY_HOURS: f64 = 2e6;

/// Notes a model's p-value.
pub fn note(scores: &mut WorstScores, family: Family, p_value: f64) {
    if let Some(place) = place_of(family) {
        let worst = &mut scores.0[place];
        *worst = (*worst).max(decibels(p_value) as u8);
    }
}

/// `-10 log10(p)`, not capped.
fn decibels(p_value: f64) -> f64 {
    -10.0 * p_value.max(f64::MIN_POSITIVE).log10()
}

/// A generalized Pareto distribution of scores above a base, with their frequency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Fit {
    /// Exceedances of the base a key and hour.
    rate: f64,
    scale: f64,
    shape: f64,
}

impl Fit {
    /// Share of exceedances that exceed the base by more than `excess`.
    fn survival(&self, excess: f64) -> f64 {
        if self.shape < 1e-6 {
            return (-excess / self.scale).exp();
        }
        (1.0 + self.shape * excess / self.scale).powf(-1.0 / self.shape)
    }

    fn log_density(&self, excess: f64) -> f64 {
        if self.shape < 1e-6 {
            return -self.scale.ln() - excess / self.scale;
        }
        -self.scale.ln() - (1.0 / self.shape + 1.0) * (self.shape * excess / self.scale).ln_1p()
    }
}

/// The tail of one family's scores.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "SavedTail")]
struct Tail {
    /// Tests a key and hour that the family's thresholds assume.
    tests: f64,
    base: f64,
    /// Number of key-hours by their worst score.
    counts: Vec<f32>,
    fit: Fit,
}

/// A tail as it was saved, which may be damaged.
#[derive(Deserialize)]
struct SavedTail {
    tests: f64,
    base: f64,
    counts: Vec<f32>,
    fit: Fit,
}

impl TryFrom<SavedTail> for Tail {
    type Error = &'static str;

    fn try_from(saved: SavedTail) -> Result<Self, Self::Error> {
        let SavedTail { tests, base, counts, fit } = saved;
        // Scores are indices of the counts.
        if counts.len() != SCORES || !(0.0..SCORES as f64).contains(&base) {
            return Err("the scores of a family are not what this version saves");
        }
        Ok(Self { tests, base, counts, fit })
    }
}

impl Tail {
    fn new(tests: f64) -> Self {
        let base = (-10.0 * (BASE_RATE / tests).log10()).ceil();
        let rate = tests * 10f64.powf(-base / 10.0);
        let fit = Fit { rate, scale: EXPONENTIAL_SCALE, shape: 0.0 };
        Self { tests, base, counts: vec![0.0; SCORES], fit }
    }

    /// Exceedances of `score` a key and hour.
    fn exceedances(&self, score: f64) -> f64 {
        self.fit.rate * self.fit.survival((score - self.base).max(0.0))
    }

    /// The model's p-value, or the fleet's if that is higher.
    fn p_value(&self, p_value: f64) -> f64 {
        let score = decibels(p_value);
        if score < self.base {
            let model = self.tests * 10f64.powf(-self.base / 10.0);
            return (p_value * (self.fit.rate / model).max(1.0)).min(1.0);
        }
        p_value.max(self.exceedances(score) / self.tests).min(1.0)
    }

    /// Counts of scores from the base to `limit`. Each is given as the excess in the middle of its
    /// bin.
    fn excesses(&self, limit: f64) -> impl Iterator<Item = (f64, f64)> + Clone {
        let (from, to) = (self.base as usize, (limit as usize).min(SCORES));
        (from..to.max(from)).filter_map(move |score| {
            let count = f64::from(self.counts[score]);
            (count > 0.0).then_some((score as f64 + 0.5 - self.base, count))
        })
    }

    fn refit(&mut self, limit: f64, key_hours: f64) {
        let model = self.tests * 10f64.powf(-self.base / 10.0);
        let width = limit - self.base;
        let seen: f64 = self.excesses(limit).map(|(_, count)| count).sum();
        // Sixteen quantiles of the exponential distribution stand for the prior's exceedances.
        let prior = (0..16).map(|n| {
            let quantile = -EXPONENTIAL_SCALE * ((15.5 - f64::from(n)) / 16.0).ln();
            (quantile, PRIOR_EXCEEDANCES / 16.0)
        });
        let log_likelihood = |fit: &Fit| {
            let whole: f64 = prior.clone().map(|(x, weight)| weight * fit.log_density(x)).sum();
            let truncated: f64 = self.excesses(limit).map(|(x, n)| n * fit.log_density(x)).sum();
            whole + truncated - seen * (1.0 - fit.survival(width)).ln()
        };
        let best = candidates()
            .map(|fit| (log_likelihood(&fit), fit))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map_or(self.fit, |(_, fit)| fit);
        // The number beyond the limit follows from the shape. The counts there are not used,
        // because they may be attacks.
        let inside = seen / (1.0 - best.survival(width));
        let rate = (inside + PRIOR_EXCEEDANCES) / (key_hours + PRIOR_EXCEEDANCES / model);
        self.fit = Fit { rate, ..best };
    }
}

/// Scales and shapes that the fit tries. A grid is enough for a tail, and it cannot end in a local
/// maximum.
fn candidates() -> impl Iterator<Item = Fit> {
    (0..28).flat_map(|step| {
        let scale = 2.0 * 1.12f64.powi(step);
        (0..6).map(move |shape| Fit { rate: 0.0, scale, shape: 0.05 * f64::from(shape) })
    })
}

/// The distributions of the fleet's scores, by family.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Calibration {
    tails: [Tail; SCORED_FAMILIES],
    key_hours: f64,
    since_fit: u32,
}

impl Default for Calibration {
    fn default() -> Self {
        Self {
            tails: MEASURED.map(|family| Tail::new(Thresholds::tests_an_hour(family))),
            key_hours: 0.0,
            since_fit: 0,
        }
    }
}

impl Calibration {
    fn tail(&self, family: Family) -> Option<&Tail> {
        place_of(family).map(|place| &self.tails[place])
    }

    /// The p-value in this fleet of a model's `p_value`.
    pub fn p_value(&self, family: Family, p_value: f64) -> f64 {
        let tail = self.tail(family).filter(|_| is_corrected(family));
        tail.map_or(p_value, |tail| tail.p_value(p_value))
    }

    /// Counts an hour of a key that has ended and was not part of an incident.
    pub fn record(&mut self, worst: WorstScores, thresholds: &Thresholds) {
        self.key_hours += 1.0;
        for (tail, score) in self.tails.iter_mut().zip(worst.0) {
            tail.counts[usize::from(score)] += 1.0;
        }
        self.since_fit += 1;
        if self.since_fit >= REFIT_KEY_HOURS {
            self.refit(thresholds);
        }
    }

    fn refit(&mut self, thresholds: &Thresholds) {
        for (tail, family) in self.tails.iter_mut().zip(MEASURED) {
            let limit = surprise(thresholds.of(family)).max(tail.base + 10.0);
            tail.refit(limit, self.key_hours);
        }
        let decay = (-f64::from(self.since_fit) / HALF_LIFE_KEY_HOURS).exp2();
        self.key_hours *= decay;
        for count in self.tails.iter_mut().flat_map(|tail| &mut tail.counts) {
            *count *= decay as f32;
        }
        self.since_fit = 0;
    }

    pub fn key_hours(&self) -> f64 {
        self.key_hours
    }

    /// The share of key-hours in the tail of a family's scores: the one that the model alone
    /// promises, and the measured one.
    pub fn tail_share(&self, family: Family) -> (f64, f64) {
        let Some(tail) = self.tail(family) else { return (0.0, 0.0) };
        let counted: f64 = tail.counts[tail.base as usize..].iter().copied().map(f64::from).sum();
        let promised = tail.tests * 10f64.powf(-tail.base / 10.0);
        (promised, counted / self.key_hours.max(1.0))
    }

    /// Promised and measured shares of key-hours that are at least this surprising, from the base
    /// of the tail upwards. They form a straight line if the promise is kept.
    pub fn points(&self, family: Family) -> Vec<(f64, f64)> {
        let Some(tail) = self.tail(family) else { return Vec::new() };
        let from = tail.base as usize;
        let mut above: f64 = tail.counts[from..].iter().map(|count| f64::from(*count)).sum();
        let mut points = Vec::new();
        for score in from..SCORES {
            if above < 0.5 {
                break;
            }
            points.push((tail.exceedances(score as f64), above / self.key_hours.max(1.0)));
            above -= f64::from(tail.counts[score]);
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::config::DetectConfig;

    #[test]
    fn a_saved_tail_that_lacks_counts_is_refused() {
        let restored = |calibration: &Calibration| {
            let bytes = postcard::to_stdvec(calibration).unwrap_or_default();
            postcard::from_bytes::<Calibration>(&bytes)
        };
        let mut calibration = Calibration::default();
        assert!(restored(&calibration).is_ok());
        calibration.tails[0].counts.truncate(93);
        assert!(restored(&calibration).is_err());
        calibration.tails[0] = Tail { base: 1e9, ..Tail::new(1.0) };
        assert!(restored(&calibration).is_err());
    }

    /// Key-hours of a fleet whose scores are `heaviness` times as high as they should be. One hour
    /// in `attacks` is an attack.
    fn fleet(heaviness: f64, attacks: u32) -> Calibration {
        fleet_of(40_000, heaviness, attacks)
    }

    fn fleet_of(key_hours: u32, heaviness: f64, attacks: u32) -> Calibration {
        let thresholds = Thresholds::new(&DetectConfig::default(), 1_000);
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut calibration = Calibration::default();
        for hour in 0..key_hours {
            let mut worst = WorstScores::default();
            let smallest: f64 = random.random::<f64>() / Thresholds::tests_an_hour(Family::Rate);
            note(&mut worst, Family::Rate, smallest.min(1.0).powf(heaviness));
            if attacks > 0 && hour % attacks == 0 {
                note(&mut worst, Family::Rate, 1e-20);
            }
            calibration.record(worst, &thresholds);
        }
        calibration
    }

    fn ratio(calibration: &Calibration, p_value: f64) -> f64 {
        calibration.p_value(Family::Rate, p_value) / p_value
    }

    #[test]
    fn a_score_is_noted_for_its_own_family_only() {
        for (place, family) in MEASURED.into_iter().enumerate() {
            let mut scores = WorstScores::default();
            note(&mut scores, family, 1e-5);
            let noted = scores.0.iter().enumerate().filter(|(_, score)| **score > 0);
            assert_eq!(noted.map(|(noted, _)| noted).collect::<Vec<_>>(), [place]);
        }
        let mut scores = WorstScores::default();
        note(&mut scores, Family::Policy, 1e-5);
        assert_eq!(scores, WorstScores::default());
    }

    #[test]
    fn a_correct_model_is_hardly_corrected() {
        let calibration = fleet(1.0, 0);
        for p_value in [1e-5, 1e-7, 1e-9] {
            assert!(
                ratio(&calibration, p_value) < 3.0,
                "{p_value}: {}",
                ratio(&calibration, p_value)
            );
        }
    }

    #[test]
    fn a_fleet_with_heavier_tails_raises_p_values() {
        // Scores are 1.5 times as high: a score of 75 is as frequent as one of 50 should be.
        let calibration = fleet(1.5, 0);
        let raised = calibration.p_value(Family::Rate, 10f64.powf(-7.5)).log10();
        assert!((-6.2..-4.3).contains(&raised), "{raised}");
    }

    #[test]
    fn attacks_do_not_swell_the_tail() {
        let (clean, attacked) = (fleet(1.2, 0), fleet(1.2, 100));
        let p_value = 1e-8;
        assert!(ratio(&attacked, p_value) < 1.5 * ratio(&clean, p_value));
    }

    #[test]
    fn promised_and_measured_shares_agree_after_enough_hours() {
        let calibration = fleet_of(300_000, 1.5, 0);
        for (promised, measured) in calibration.points(Family::Rate) {
            if measured > 1e-3 {
                assert!((promised / measured).ln().abs() < 0.7, "{promised} for {measured}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn order_is_kept_and_p_values_never_fall(a in 1e-30f64..1.0, b in 1e-30f64..1.0) {
            let calibration = fleet(1.3, 50);
            let (low, high) = (a.min(b), a.max(b));
            let calibrated = |p| calibration.p_value(Family::Rate, p);
            prop_assert!(calibrated(low) <= calibrated(high) * (1.0 + 1e-9));
            prop_assert!(calibrated(low) >= low && calibrated(high) <= 1.0);
        }
    }
}
