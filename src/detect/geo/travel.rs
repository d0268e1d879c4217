//! Finds two places that nobody can have travelled between in time: `geo.impossible_travel`.

use serde_json::json;

use super::{Prior, arrivals, describe, is_exit_of_old, is_unlike, place_json, site_name};
use crate::alert::{Action, Ceiling, DetectorId, Restraint};
use crate::detect::Signal;
use crate::event::{EnrichedEvent, Origin};
use crate::network::NetworkKind;
use crate::profile::place::{Journey, MAX_SPEED_KMH, PlaceProfile, Site};
use crate::text::{duration, whole_number};

/// A key with fewer observations has shown too little to act on.
const YOUNG: f64 = 12.0;
/// A person's key is used from no more sites in its first hours.
const FEW_SITES: usize = 3;
/// Factor for a journey to a machine that anybody can rent, by a key that is not usually on such
/// machines: its owner hardly took the key there.
const RENTED: f64 = 0.05;

/// Probability that an innocent new place of such a network shows impossible speed: a relay or VPN
/// that was switched on, ...
const DETACHED: f64 = 0.2;
/// ... or another network of people in the same country, which the database places where it is
/// registered.
const IN_COUNTRY: f64 = 0.03;

/// Two places that one holder cannot have been at.
#[derive(Clone, Copy, Debug)]
pub struct Travel<'a> {
    pub p_value: f64,
    pub ceiling: Option<Ceiling>,
    /// The journey leads to a rented machine, from a place that the database knows.
    is_to_rented: bool,
    journey: Journey<'a>,
}

pub(super) fn find_travel<'a>(
    places: &'a PlaceProfile,
    prior: &Prior<'_>,
    own: Option<&Site>,
    enriched: &EnrichedEvent,
) -> Option<Travel<'a>> {
    let journey = places.impossible_journey(enriched)?;
    let origin = &enriched.origin;
    let network = if is_unlike(places, origin) { RENTED } else { 1.0 };
    let place = place_probability(places, prior, own, origin);
    let innocent = innocent_journeys(places, journey.from, origin)
        .max(places.novelty().impossible(prior.journeys()));
    let p_value = innocent.max(of_young_crowd(places)) * place * network;
    let is_to_rented = origin.kind == NetworkKind::Hosting && !journey.from.kind.is_detached();
    Some(Travel { p_value, ceiling: ceiling(places, journey.from, origin), is_to_rented, journey })
}

/// A young key that is used from many sites, and from most of them in passing, belongs to a crowd:
/// two of its members at once are a journey.
fn of_young_crowd(places: &PlaceProfile) -> f64 {
    let is_of_many = places.observations() < YOUNG && places.sites().len() > FEW_SITES;
    if is_of_many { places.novelty().passing().powi(2) } else { 0.0 }
}

fn innocent_journeys(places: &PlaceProfile, from: &Site, to: &Origin) -> f64 {
    if is_exit_of_old(places, to) {
        1.0
    } else if from.kind.is_detached() || to.kind.is_detached() {
        DETACHED
    } else if are_people_of_one_country(from, to) {
        IN_COUNTRY
    } else {
        0.0
    }
}

fn are_people_of_one_country(from: &Site, to: &Origin) -> bool {
    let are_people = [from.kind, to.kind].iter().all(|kind| *kind != NetworkKind::Hosting);
    are_people && from.country == to.country
}

/// Probability that the next observation is of this place, which is new or little known.
fn place_probability(
    places: &PlaceProfile,
    prior: &Prior<'_>,
    own: Option<&Site>,
    origin: &Origin,
) -> f64 {
    let novelty = places.novelty();
    let new = if places.knows_country(origin) {
        places.variety()
    } else {
        // The square root tempers the prior: an attacker's country may be a common one.
        novelty.new_country() * prior.country().max(0.01).sqrt() * arrivals(novelty)
    };
    let known = own.map_or(0.0, |site| f64::from(site.weight) / (novelty.observations() + 1.0));
    new.max(known).min(1.0)
}

/// The ceiling for journeys that also have an ordinary explanation.
fn ceiling(places: &PlaceProfile, from: &Site, to: &Origin) -> Option<Ceiling> {
    let notify = |reason| Some(Ceiling { most: Action::Notify, reason });
    if places.observations() < YOUNG {
        return notify(Restraint::YoungKey);
    }
    let is_detached = from.kind.is_detached() || to.kind.is_detached();
    // A deploy to a second data centre looks like a journey between the two.
    let are_servers = [from.kind, to.kind] == [NetworkKind::Hosting; 2];
    if is_detached || are_servers || are_people_of_one_country(from, to) {
        notify(Restraint::OrdinaryCause)
    } else {
        None
    }
}

/// An ocean lies between the two places.
const OCEAN_KILOMETRES: f64 = 3_000.0;
/// Mild evidence is at least this rare.
pub const MILD: f64 = 1e-2;

impl Travel<'_> {
    /// The threshold and the ceiling of the finding, where `threshold` is that of places. An ocean
    /// crossed to a rented machine at many times the speed of an aircraft is told whatever else is
    /// known, as a mild sign: who tries a key at home and then deploys it crosses oceans too.
    pub fn bounds(&self, threshold: f64) -> (f64, Option<Ceiling>) {
        let Journey { kilometres, kilometres_per_hour, .. } = self.journey;
        let is_far = kilometres >= OCEAN_KILOMETRES && kilometres_per_hour > 5.0 * MAX_SPEED_KMH;
        if self.p_value < threshold || !is_far || !self.is_to_rented {
            return (threshold, self.ceiling);
        }
        (MILD, Some(Ceiling { most: Action::Observe, reason: Restraint::YoungKey }))
    }

    pub fn into_signal(self, enriched: &EnrichedEvent) -> Signal {
        let (event, origin) = (&enriched.event, &enriched.origin);
        let Journey { from: site, kilometres, kilometres_per_hour } = self.journey;
        let from = site_name(site);
        let here = describe(origin);
        let seconds = event.time.seconds_since(site.last_seen).abs();
        let distance = whole_number(kilometres);
        Signal {
            detector: DetectorId::ImpossibleTravel,
            p_value: self.p_value,
            observed: Some(kilometres_per_hour),
            expected: Some(MAX_SPEED_KMH),
            headline: format!(
                "used in {from} and {here}, {distance} km apart, within {}",
                duration(seconds)
            ),
            sentence: format!(
                "Used in {from} ({}) at {} and in {here} ({}) at {}: at least {distance} km in {}, \
                 or {} km/h.",
                site.last_ip,
                site.last_seen,
                event.client_ip,
                event.time,
                duration(seconds),
                whole_number(kilometres_per_hour)
            ),
            fields: json!({
                "from": {
                    "place": { "country": site.country, "region": site.region,
                               "city": site.city, "asn": site.asn },
                    "ip": site.last_ip,
                    "time": site.last_seen,
                },
                "to": {
                    "place": place_json(origin),
                    "ip": event.client_ip,
                    "time": event.time,
                },
                "kilometres": kilometres.round(),
                "kilometres_per_hour": kilometres_per_hour.round(),
            }),
            ceiling: None,
        }
    }
}
