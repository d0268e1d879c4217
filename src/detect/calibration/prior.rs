//! Holds the score distributions of the training fleet as plain numbers, so that a new shard is
//! calibrated from its first hour.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Calibration, Fit, SCORES, Tail};

/// The tails of all measured families.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationPrior {
    /// Number of measured key-hours; without any, there is no prior.
    key_hours: f64,
    /// In the order of [`super::MEASURED`].
    tails: Vec<TailPrior>,
}

/// The tail of one family: a generalized Pareto distribution, and the counts that it was fitted to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TailPrior {
    /// Score in decibels at which the tail begins.
    base: f64,
    /// Exceedances of the base a key and hour.
    rate: f64,
    /// In decibels.
    scale: f64,
    shape: f64,
    /// Number of key-hours by their worst score, from the base upwards.
    counts: BTreeMap<usize, f32>,
}

impl TailPrior {
    fn of(tail: &Tail) -> Self {
        let from = tail.base as usize;
        let counts = tail.counts.iter().copied().enumerate().skip(from);
        let Fit { rate, scale, shape } = tail.fit;
        let counts = counts.filter(|(_, count)| *count > 0.0).collect();
        Self { base: tail.base, rate, scale, shape, counts }
    }

    fn fits(&self, tail: &Tail) -> bool {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        self.base == tail.base
            && positive(self.rate)
            && positive(self.scale)
            && (0.0..1.0).contains(&self.shape)
            && self.counts.iter().all(|(score, count)| {
                *score < SCORES && *score as f64 >= self.base && *count >= 0.0 && count.is_finite()
            })
    }

    fn restore(&self, tail: &mut Tail) {
        tail.fit = Fit { rate: self.rate, scale: self.scale, shape: self.shape };
        for (score, count) in &self.counts {
            tail.counts[*score] = *count;
        }
    }
}

impl CalibrationPrior {
    pub fn of(calibration: &Calibration) -> Self {
        let tails = calibration.tails.iter().map(TailPrior::of).collect();
        Self { key_hours: calibration.key_hours, tails }
    }

    /// Whether it was made by a version that measures as this one does. Families that it did not
    /// measure yet, the last ones, begin without a past.
    pub fn is_usable(&self) -> bool {
        let own = Calibration::default().tails;
        self.tails.is_empty()
            || self.key_hours >= 0.0
                && self.key_hours.is_finite()
                && self.tails.len() <= own.len()
                && self.tails.iter().zip(&own).all(|(prior, tail)| prior.fits(tail))
    }

    /// The calibration of a new shard. The prior must be usable.
    pub fn restore(&self) -> Calibration {
        let mut calibration = Calibration::default();
        for (prior, tail) in self.tails.iter().zip(&mut calibration.tails) {
            prior.restore(tail);
        }
        calibration.key_hours = self.key_hours;
        calibration
    }

    pub fn key_hours(&self) -> f64 {
        self.key_hours
    }
}
