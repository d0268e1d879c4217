//! Compares the promised number of false alerts with the measured one.

use super::figures::{Calibration, DetectorFigures};
use crate::detect::calibration::{self, MEASURED};
use crate::detect::{Family, Thresholds, family};

/// One entry for each measured family. With labels, only false incidents count. Behaviour has no
/// promise if the configuration does not judge it.
pub fn compare(
    measured: &calibration::Calibration,
    thresholds: &Thresholds,
    detectors: &[DetectorFigures],
    has_labels: bool,
    judges_behaviour: bool,
) -> Vec<Calibration> {
    let compare_one = |which: Family| Calibration {
        family: which.as_str().to_owned(),
        promised: measured.key_hours() * Thresholds::tests_an_hour(which) * thresholds.of(which),
        measured: detectors
            .iter()
            .filter(|figures| family(figures.detector) == which)
            .map(|figures| {
                figures.false_incidents + if has_labels { 0 } else { figures.true_incidents }
            })
            .sum::<usize>() as f64,
        points: measured.points(which),
    };
    let judged = |which: &Family| judges_behaviour || *which != Family::Behaviour;
    MEASURED.into_iter().filter(judged).map(compare_one).collect()
}
