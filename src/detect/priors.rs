//! What a trained model tells a new installation of its fleet: nothing about any one key.

use serde::{Deserialize, Serialize};

use super::calibration::{Calibration, CalibrationPrior};
use crate::profile::{Population, PopulationPrior};

/// The part of a shard's state that all keys share, after the history that a model was trained
/// with. A shard without saved state begins with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Priors {
    /// Where keys are used from, and at what hours.
    pub population: PopulationPrior,
    /// How high the detectors' scores are.
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
