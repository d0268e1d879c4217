//! Defines attacks from the key's own machines that take much data, each in another way.

use super::recipe::{AROUND_THE_CLOCK, AS_OWN, Manner, OWN_CLIENT, Pace, Recipe, Shape};

/// 1.25 to the power of 15 is 28.
pub(super) const BOILING_FROG: Recipe = Recipe {
    detectors: &["rate.spike", "behaviour.outlier"],
    characters: AROUND_THE_CLOCK,
    minutes: (3_600.0, 3_600.0),
    pace: Pace { shape: Shape::Stairs, ..Pace::new(1.0, 0.0) },
    own_rate: (0.02, 0.1),
    ..OWN_CLIENT
};

pub(super) const BULK_EXPORT: Recipe = Recipe {
    detectors: &["behaviour.bulk_export", "behaviour.outlier"],
    characters: AROUND_THE_CLOCK,
    minutes: (60.0, 240.0),
    pace: Pace::new(0.3, 0.02),
    manner: Manner { bytes_factor: 150.0, ..AS_OWN },
    ..OWN_CLIENT
};

/// Some of the ids do not exist, and some belong to other customers.
pub(super) const ENUMERATION: Recipe = Recipe {
    detectors: &["access.enumeration", "behaviour.outlier", "rate.spike", "rate.error_burst"],
    characters: AROUND_THE_CLOCK,
    minutes: (20.0, 60.0),
    pace: Pace::new(1.5, 0.4),
    manner: Manner {
        statuses: Some(&[(200, 80.0), (404, 16.0), (403, 4.0)]),
        counts_up: true,
        ..AS_OWN
    },
    ..OWN_CLIENT
};
