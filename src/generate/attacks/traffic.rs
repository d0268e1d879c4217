//! Defines attacks that show in the number of requests and in their responses.

use super::super::characters::Character;
use super::recipe::{AROUND_THE_CLOCK, AS_OWN, Manner, OWN_CLIENT, Pace, Recipe, SINGLE_HOME};

pub(super) const RATE_SPIKE: Recipe = Recipe {
    detectors: &["rate.spike"],
    characters: &[
        Character::SteadyServer,
        Character::Trader,
        Character::OfficeHours,
        Character::Fleet,
        Character::Mobile,
        Character::Serverless,
        Character::Poller,
    ],
    minutes: (5.0, 15.0),
    pace: Pace::new(12.0, 4.0),
    ..OWN_CLIENT
};

pub(super) const SLOW_RAMP: Recipe = Recipe {
    detectors: &["rate.spike", "behaviour.outlier"],
    characters: AROUND_THE_CLOCK,
    minutes: (240.0, 480.0),
    pace: Pace::ramp(10.0, 1.0),
    ..OWN_CLIENT
};

pub(super) const ERROR_BURST: Recipe = Recipe {
    detectors: &["rate.error_burst", "rate.spike"],
    characters: SINGLE_HOME,
    minutes: (10.0, 25.0),
    pace: Pace::new(1.5, 0.3),
    manner: Manner {
        statuses: Some(&[(400, 4.0), (404, 3.0), (422, 3.0), (500, 4.0), (200, 1.5)]),
        ..AS_OWN
    },
    ..OWN_CLIENT
};

pub(super) const THROTTLED_BURST: Recipe = Recipe {
    detectors: &["limit.throttled_burst", "rate.error_burst", "rate.spike"],
    characters: SINGLE_HOME,
    minutes: (5.0, 15.0),
    pace: Pace::new(6.0, 1.5),
    manner: Manner { statuses: Some(&[(429, 3.0), (200, 1.0)]), ..AS_OWN },
    ..OWN_CLIENT
};

pub(super) const AUTH_FAILURE_BURST: Recipe = Recipe {
    detectors: &["auth.failure_burst", "rate.error_burst", "rate.spike"],
    characters: SINGLE_HOME,
    minutes: (5.0, 15.0),
    pace: Pace::new(2.0, 0.7),
    manner: Manner { statuses: Some(&[(401, 6.0), (403, 3.0), (200, 0.5)]), ..AS_OWN },
    ..OWN_CLIENT
};
