//! Defines attacks that contradict the registry: the key should not be in use, or not at that
//! place.

use super::recipe::{ALL_WELL, AS_OWN, Lifecycle, Manner, OWN_CLIENT, Pace, Recipe, SINGLE_HOME};
use super::sites::SiteChoice;

const FORGOTTEN_KEY: Recipe = Recipe {
    pace: Pace::new(0.5, 0.05),
    manner: Manner { statuses: Some(ALL_WELL), ..AS_OWN },
    ..OWN_CLIENT
};

pub(super) const RETIRED_KEY_USE: Recipe = Recipe {
    detectors: &["lifecycle.retired_key_use"],
    lifecycle: Lifecycle::Retired,
    ..FORGOTTEN_KEY
};

pub(super) const EXPIRED_KEY_USE: Recipe = Recipe {
    detectors: &["lifecycle.expired_key_use"],
    lifecycle: Lifecycle::Expired,
    ..FORGOTTEN_KEY
};

pub(super) const REVOKED_KEY_USE: Recipe = Recipe {
    detectors: &["lifecycle.revoked_key_use"],
    lifecycle: Lifecycle::Revoked,
    ..FORGOTTEN_KEY
};

pub(super) const DORMANT_KEY_USE: Recipe = Recipe {
    detectors: &[
        "lifecycle.dormant_key_use",
        "network.new_asn",
        "geo.new_location",
        "geo.impossible_travel",
    ],
    characters: SINGLE_HOME,
    lifecycle: Lifecycle::Dormant,
    site: SiteChoice::RentedInCountry,
    manner: Manner { foreign_agent: true, ..AS_OWN },
    ..FORGOTTEN_KEY
};

pub(super) const ENVIRONMENT_MISMATCH: Recipe = Recipe {
    detectors: &["policy.environment_mismatch"],
    manner: Manner { other_environment: true, ..AS_OWN },
    ..FORGOTTEN_KEY
};
