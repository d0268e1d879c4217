//! Defines attacks by thieves who have the key and avoid notice.

use super::super::characters::Character;
use super::AttackKind;
use super::recipe::{
    AROUND_THE_CLOCK, AS_OWN, Lifecycle, Manner, OWN_CLIENT, Pace, Recipe, SINGLE_HOME,
};
use super::sites::SiteChoice;

const NEW_CLIENT: Manner = Manner { foreign_agent: true, ..AS_OWN };

/// From the victim's city, a dozen requests an hour.
pub(super) const RESIDENTIAL_PROXY: Recipe = Recipe {
    detectors: &[
        "network.new_asn",
        "client.new_agent",
        "client.new_fingerprint",
        "behaviour.outlier",
        "geo.new_location",
    ],
    characters: SINGLE_HOME,
    minutes: (360.0, 1_440.0),
    pace: Pace::new(0.05, 0.003),
    site: SiteChoice::ProxyInCity,
    manner: NEW_CLIENT,
    ..OWN_CLIENT
};

pub(super) const SAME_CLOUD_OTHER_REGION: Recipe = Recipe {
    detectors: &[
        "geo.new_location",
        "geo.impossible_travel",
        "client.new_agent",
        "client.new_fingerprint",
        "behaviour.outlier",
    ],
    characters: AROUND_THE_CLOCK,
    minutes: (60.0, 180.0),
    pace: Pace::new(0.2, 0.02),
    site: SiteChoice::SameCloud,
    manner: NEW_CLIENT,
    night: Some((0.0, 3.0)),
    ..OWN_CLIENT
};

/// A member usually makes one of several thousand requests.
pub(super) const THIEF_IN_CROWD: Recipe = Recipe {
    detectors: &[
        "network.new_asn",
        "client.new_agent",
        "client.new_fingerprint",
        "behaviour.outlier",
        "access.enumeration",
    ],
    characters: &[Character::AppCrowd, Character::WebCrowd],
    minutes: (60.0, 240.0),
    pace: Pace::new(0.06, 0.01),
    site: SiteChoice::RentedInCountry,
    manner: NEW_CLIENT,
    own_rate: (0.08, 0.6),
    ..OWN_CLIENT
};

/// Includes characters whose keys are used from several places anyway.
const ON_THE_MOVE: &[Character] = &[
    Character::SteadyServer,
    Character::OfficeHours,
    Character::LaptopVpn,
    Character::FailoverLine,
    Character::Ci,
    Character::Autoscaling,
];

/// Twelve requests in two hours.
pub(super) const KNOCKING: Recipe = Recipe {
    detectors: &["auth.failure_burst", "auth.credential_stuffing"],
    characters: ON_THE_MOVE,
    pace: Pace::new(0.0, 12.0 / 7_200.0),
    site: SiteChoice::RentedFarAway,
    manner: Manner { statuses: Some(&[(401, 1.0)]), outsider: true, ..NEW_CLIENT },
    ..OWN_CLIENT
};

pub(super) const KNOCKED_THEFT: Recipe = Recipe {
    detectors: &[
        "geo.impossible_travel",
        "geo.new_location",
        "network.new_asn",
        "client.new_agent",
        "client.new_fingerprint",
    ],
    characters: ON_THE_MOVE,
    minutes: (20.0, 60.0),
    pace: Pace::new(0.5, 0.05),
    site: SiteChoice::RentedFarAway,
    manner: NEW_CLIENT,
    prelude: Some((AttackKind::Knocking, 7_200.0)),
    ..OWN_CLIENT
};

pub(super) const DORMANT_QUIET: Recipe = Recipe {
    detectors: &[
        "lifecycle.dormant_key_use",
        "geo.new_location",
        "geo.impossible_travel",
        "network.new_asn",
        "client.new_agent",
        "client.new_fingerprint",
    ],
    characters: &[Character::Quiet, Character::OfficeHours, Character::SteadyServer],
    minutes: (120.0, 480.0),
    pace: Pace::new(0.0, 0.004),
    site: SiteChoice::Abroad,
    manner: NEW_CLIENT,
    lifecycle: Lifecycle::Dormant,
    own_rate: (3e-4, 0.05),
    ..OWN_CLIENT
};
