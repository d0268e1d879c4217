//! Finds a country, or a region of a cloud, that the key has never been used from:
//! `geo.new_location`.

use serde_json::json;

use super::{Prior, arrivals, describe, is_exit_of_old, ordinary_move, place_json, site_name};
use crate::alert::{Ceiling, DetectorId};
use crate::detect::Signal;
use crate::event::{EnrichedEvent, Origin};
use crate::network::NetworkKind;
use crate::profile::place::PlaceProfile;

/// Probability that a new region of a cloud is this one.
const REGION: f64 = 0.02;

/// A country, or a region of a cloud, that is new to the key.
#[derive(Clone, Copy, Debug)]
pub struct NewLocation {
    pub p_value: f64,
    /// Probability of any new one, whichever it is.
    pub new: f64,
    pub ceiling: Option<Ceiling>,
    /// Whether the country is new, and not only the region of a cloud that the key already uses.
    pub is_country: bool,
}

pub(super) fn find_new_location(
    places: &PlaceProfile,
    prior: &Prior<'_>,
    origin: &Origin,
) -> Option<NewLocation> {
    if !origin.is_located() {
        return None;
    }
    // A satellite client is not at its ground station, and another exit of a VPN is not another
    // place.
    if origin.kind == NetworkKind::Satellite || is_exit_of_old(places, origin) {
        return None;
    }
    let (novelty, ceiling) = (places.novelty(), ordinary_move(places, origin));
    let is_sibling = origin.kind == NetworkKind::Hosting && places.knows_network(origin);
    if is_sibling && !places.knows_region(origin) {
        let new = novelty.new_region();
        return Some(NewLocation { p_value: new * REGION, new, ceiling, is_country: false });
    }
    if places.knows_country(origin) {
        return None;
    }
    // The user chooses an exit from a list, so that its country says little about the user.
    let country = prior.country();
    let country = if origin.kind.is_detached() { country.sqrt() } else { country };
    let new = novelty.new_country();
    let p_value = (new * country * arrivals(novelty)).min(1.0);
    Some(NewLocation { p_value, new, ceiling, is_country: true })
}

impl NewLocation {
    pub fn into_signal(self, places: &PlaceProfile, enriched: &EnrichedEvent) -> Signal {
        let here = describe(&enriched.origin);
        let ip = enriched.event.client_ip;
        let known = known_places(places);
        Signal {
            detector: DetectorId::NewLocation,
            p_value: self.p_value,
            observed: None,
            expected: None,
            headline: format!("used from {here} for the first time"),
            sentence: format!(
                "Used from {here} ({ip}), where this key has never been used; its places so far: \
                 {}.",
                known.join(", ")
            ),
            fields: json!({
                "place": place_json(&enriched.origin),
                "ip": ip,
                "known_places": known,
                "probability": self.p_value,
            }),
            ceiling: None,
        }
    }
}

fn known_places(places: &PlaceProfile) -> Vec<String> {
    let mut known: Vec<String> =
        places.sites().iter().filter(|site| site.weight >= 1.0).map(site_name).collect();
    known.sort_unstable();
    known.dedup();
    known
}
