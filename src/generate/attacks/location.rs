//! Defines attacks that show in the location from which the key is used.

use super::recipe::{AS_OWN, Manner, OWN_CLIENT, Pace, Recipe, SINGLE_HOME};
use super::sites::SiteChoice;

/// A thief with the key who does not hurry.
const THIEF: Recipe = Recipe {
    minutes: (20.0, 60.0),
    pace: Pace::new(0.5, 0.05),
    manner: Manner { foreign_agent: true, ..AS_OWN },
    ..OWN_CLIENT
};

pub(super) const IMPOSSIBLE_TRAVEL: Recipe = Recipe {
    detectors: &["geo.impossible_travel", "geo.new_location", "network.new_asn"],
    site: SiteChoice::FarAway,
    ..THIEF
};

pub(super) const NEW_LOCATION: Recipe = Recipe {
    detectors: &["geo.new_location", "geo.impossible_travel", "network.new_asn"],
    characters: SINGLE_HOME,
    site: SiteChoice::NextCountry,
    ..THIEF
};

pub(super) const NEW_NETWORK: Recipe = Recipe {
    detectors: &["network.new_asn", "geo.new_location", "geo.impossible_travel"],
    characters: SINGLE_HOME,
    site: SiteChoice::RentedInCountry,
    ..THIEF
};

/// The address lies in the key's own /24, so that only the allowlist reveals it.
pub(super) const IP_NOT_ALLOWED: Recipe = Recipe {
    detectors: &["policy.ip_not_allowed"],
    site: SiteChoice::Neighbour,
    manner: AS_OWN,
    ..THIEF
};
