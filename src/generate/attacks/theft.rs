//! Defines attacks that show in the requested routes, alone or with other signs.

use super::super::characters::Character;
use super::super::products::{ADMINISTRATION, EXPORT, KEY_MANAGEMENT};
use super::recipe::{AS_OWN, Manner, Names, OWN_CLIENT, Pace, Recipe, SINGLE_HOME};
use super::sites::SiteChoice;

pub(super) const UNEXPECTED_ENDPOINT: Recipe = Recipe {
    detectors: &["scope.unexpected_endpoint"],
    characters: &[
        Character::SteadyServer,
        Character::Trader,
        Character::Serverless,
        Character::LlmCustomer,
        Character::PrefixedIds,
    ],
    minutes: (15.0, 45.0),
    pace: Pace::new(0.5, 0.05),
    manner: Manner {
        product: Some(ADMINISTRATION),
        statuses: Some(&[(200, 3.0), (403, 1.0)]),
        ..AS_OWN
    },
    ..OWN_CLIENT
};

pub(super) const ROTATION_ABUSE: Recipe = Recipe {
    detectors: &["lifecycle.rotation_abuse", "scope.unexpected_endpoint"],
    minutes: (5.0, 20.0),
    pace: Pace::new(0.0, 0.4),
    manner: Manner { product: Some(KEY_MANAGEMENT), ..AS_OWN },
    ..OWN_CLIENT
};

pub(super) const CREDENTIAL_STUFFING: Recipe = Recipe {
    detectors: &[
        "auth.credential_stuffing",
        "geo.new_location",
        "geo.impossible_travel",
        "network.new_asn",
    ],
    minutes: (5.0, 15.0),
    pace: Pace::new(0.0, 3.0),
    site: SiteChoice::RentedFarAway,
    manner: Manner {
        statuses: Some(&[(401, 18.0), (403, 1.5), (200, 0.5)]),
        foreign_agent: true,
        names: Names::Invented,
        ..AS_OWN
    },
    ..OWN_CLIENT
};

pub(super) const TAKEOVER: Recipe = Recipe {
    detectors: &[
        "geo.impossible_travel",
        "geo.new_location",
        "network.new_asn",
        "scope.unexpected_endpoint",
        "rate.spike",
        "behaviour.outlier",
    ],
    characters: SINGLE_HOME,
    minutes: (10.0, 40.0),
    pace: Pace::new(6.0, 2.0),
    site: SiteChoice::RentedFarAway,
    manner: Manner { product: Some(EXPORT), foreign_agent: true, ..AS_OWN },
    ..OWN_CLIENT
};

pub(super) const SLOW_EXFILTRATION: Recipe = Recipe {
    detectors: &[
        "behaviour.outlier",
        "network.new_asn",
        "scope.unexpected_endpoint",
        "geo.new_location",
        "geo.impossible_travel",
    ],
    minutes: (240.0, 720.0),
    pace: Pace::new(0.2, 0.01),
    site: SiteChoice::RentedInCountry,
    manner: Manner { product: Some(EXPORT), bytes_factor: 20.0, ..AS_OWN },
    ..OWN_CLIENT
};

/// The attacker uses the key's machines, routes and signer, and a rate within the usual. Only the
/// mix reveals it: mostly the routes that the key uses least, in small bursts, with a few more
/// errors and larger responses, at any hour. No single number is far off.
pub(super) const MIMICRY: Recipe = Recipe {
    detectors: &["behaviour.outlier"],
    minutes: (480.0, 960.0),
    pace: Pace { burst: 4.0, ..Pace::new(0.7, 0.02) },
    manner: Manner {
        prefers_rare_routes: true,
        statuses: Some(&[(200, 92.0), (404, 4.0), (400, 2.5), (403, 1.0), (429, 0.5)]),
        bytes_factor: 2.0,
        ..AS_OWN
    },
    ..OWN_CLIENT
};
