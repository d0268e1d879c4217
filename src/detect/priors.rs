//! Holds the priors of a trained model: what a new installation knows of its fleet, and nothing of
//! any single key.

use serde::{Deserialize, Serialize};

use super::calibration::{Calibration, CalibrationPrior};
use crate::profile::{Population, PopulationPrior};

/// The part of a shard's state that all keys share, after the history that a model was trained
/// with. A shard without saved state begins with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Priors {
    /// The places that keys are used from, and the hours.
    pub population: PopulationPrior,
    /// The distribution of the detectors' scores.
    pub calibration: CalibrationPrior,
}

impl Priors {
    pub fn of(population: &Population, calibration: &Calibration) -> Self {
        Self {
            population: PopulationPrior::of(population),
            calibration: CalibrationPrior::of(calibration),
        }
    }

    pub fn are_usable(&self) -> bool {
        self.population.is_usable() && self.calibration.is_usable()
    }
}
