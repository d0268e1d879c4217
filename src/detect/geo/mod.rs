//! Finds places and networks that the key has never used, and impossible journeys. Each detector
//! has one file.
//!
//! The probability of a new place or network comes from how often the key turned to new ones before
//! ([`crate::profile::place::Novelty`]). It is multiplied by how common the place is over all keys.

pub mod location;
pub mod network;
pub mod scatter;
pub mod travel;

use serde_json::{Value, json};

use self::location::{NewLocation, find_new_location};
use self::network::{NewNetwork, find_new_network};
use self::travel::{Travel, find_travel};
use crate::alert::{Action, Ceiling, Restraint};
use crate::event::{EnrichedEvent, Origin};
use crate::network::NetworkKind;
use crate::profile::place::{Novelty, PlaceProfile, Site};
use crate::profile::population::Population;

/// Least number of decorrelated observations (ten minutes each) before a place can be new.
pub const MIN_OBSERVATIONS: f64 = 6.0;
/// Fewer make the place of a key that woke up a sign among others.
const MIN_YOUNG_OBSERVATIONS: f64 = 0.75;
/// A person arrives at this many places in the time that a profile remembers.
const FEW_ARRIVALS: f64 = 10.0;
/// Travel needs less history, because it is judged by physics: three observations, less some decay.
const MIN_TRAVEL_OBSERVATIONS: f64 = 2.5;

/// Whether too little is known of a key's places to report a new one by itself.
pub fn is_young(places: &PlaceProfile) -> bool {
    places.observations() < MIN_OBSERVATIONS
}

/// Whether a key that people use appears at a machine that anybody can rent.
fn is_unlike(places: &PlaceProfile, origin: &Origin) -> bool {
    origin.kind == NetworkKind::Hosting && places.novelty().rented() < 0.2
}

/// Whether a key that servers use appears at a data centre.
pub fn is_among_servers(places: &PlaceProfile, origin: &Origin) -> bool {
    origin.kind == NetworkKind::Hosting && places.novelty().rented() > 0.5
}

/// Probability that the key is used from a network of such a kind, where it is among others:
/// people at a rented machine, servers at somebody's home. `None` where the kind is its own.
pub fn foreign_kind(places: &PlaceProfile, origin: &Origin) -> Option<f64> {
    let (novelty, rented) = (places.novelty(), places.novelty().rented());
    if is_unlike(places, origin) {
        return Some(rented);
    }
    let is_of_people = !origin.kind.is_rented() && !origin.kind.is_detached();
    let never_seen = 0.5 / (novelty.observations() + 0.5);
    (is_of_people && rented > 0.8).then(|| (1.0 - rented).max(never_seen))
}

/// Whether the key goes through relays or VPNs anyhow: each has many exits, in many countries.
fn is_exit_of_old(places: &PlaceProfile, origin: &Origin) -> bool {
    origin.kind.is_detached() && places.is_usual_kind(origin.kind)
}

/// The ceiling for a move that the owner may have made as well: servers that move to another data
/// centre, people who travel or switch on a relay. No ceiling applies to people at a rented
/// machine, or to servers at a home.
fn ordinary_move(places: &PlaceProfile, origin: &Origin) -> Option<Ceiling> {
    let is_among_servers = places.novelty().rented() > 0.5;
    let is_server = origin.kind == NetworkKind::Hosting;
    (is_among_servers == is_server || origin.kind.is_detached())
        .then_some(Ceiling { most: Action::Notify, reason: Restraint::OrdinaryCause })
}

/// How many times more often than a person the key arrives somewhere. Each arrival may be the first
/// one from its country: among the thousand visitors that follow a thousand, some are from a new one
/// (Bonferroni's bound over the arrivals that are remembered).
fn arrivals(novelty: &Novelty) -> f64 {
    (novelty.arrivals() / FEW_ARRIVALS).max(1.0)
}

/// How common an event's place is among the keys of its tenant, and of the fleet. Shares, 0 to 1.
/// They are looked up when they are asked for, which is for few events.
struct Prior<'a> {
    population: &'a Population,
    enriched: &'a EnrichedEvent,
}

impl Prior<'_> {
    fn country(&self) -> f64 {
        self.population.country(self.tenant(), &self.enriched.origin.country)
    }

    fn network(&self) -> f64 {
        self.population.network(self.tenant(), self.enriched.origin.asn)
    }

    /// How often an arrival in another country seems impossibly fast, over the fleet.
    fn journeys(&self) -> f64 {
        self.population.usual_journeys()
    }

    fn tenant(&self) -> Option<&str> {
        self.enriched.event.tenant.as_deref()
    }
}

/// Everything unusual about an event's place.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlaceFindings<'a> {
    pub location: Option<NewLocation>,
    pub network: Option<NewNetwork>,
    pub travel: Option<Travel<'a>>,
    /// The place is not established yet, but was already reported.
    pub is_told: bool,
    /// Too little is known of the key to report a new location or network by itself.
    pub is_young: bool,
}

/// Judges an event's place against the sites of its key.
pub fn find_place<'a>(
    places: &'a PlaceProfile,
    population: &Population,
    enriched: &EnrichedEvent,
) -> PlaceFindings<'a> {
    let (event, origin) = (&enriched.event, &*enriched.origin);
    let mut found = PlaceFindings::default();
    let own = places.site_of(event.client_ip, origin);
    if own.is_some_and(Site::is_established) {
        return found;
    }
    let prior = Prior { population, enriched };
    let observations = places.observations();
    found.is_told = own.is_some_and(|site| site.told_at.is_some());
    // A place is reported once. If nobody objects, it becomes one of the key's own.
    if found.is_told || (own.is_none() && places.was_told(origin)) {
        return found;
    }
    found.is_young = is_young(places);
    if observations >= MIN_YOUNG_OBSERVATIONS {
        // No site of a young key is established, and yet it is not new.
        let is_seen =
            |matches: &dyn Fn(&Site) -> bool| found.is_young && places.sites().iter().any(matches);
        if !is_seen(&|site| site.country == origin.country) {
            found.location = find_new_location(places, &prior, origin);
        }
        if !is_seen(&|site| site.organisation == origin.organisation()) {
            found.network = find_new_network(places, &prior, own, origin);
        }
    }
    if observations >= MIN_TRAVEL_OBSERVATIONS {
        found.travel = find_travel(places, &prior, own, enriched);
    }
    found
}

impl PlaceFindings<'_> {
    pub fn p_values(&mut self) -> impl Iterator<Item = &mut f64> {
        let location = self.location.as_mut().map(|found| &mut found.p_value);
        let network = self.network.as_mut().map(|found| &mut found.p_value);
        let travel = self.travel.as_mut().map(|found| &mut found.p_value);
        [location, network, travel].into_iter().flatten()
    }
}

fn place_json(origin: &Origin) -> Value {
    json!({
        "country": origin.country,
        "region": origin.region,
        "city": origin.city,
        "asn": origin.asn,
        "as_name": origin.as_name,
    })
}

fn describe(origin: &Origin) -> String {
    name_of(&origin.city, &origin.region, &origin.country)
}

fn site_name(site: &Site) -> String {
    name_of(&site.city, &site.region, &site.country)
}

fn name_of(city: &str, region: &str, country: &str) -> String {
    let place = if city.is_empty() { region } else { city };
    if place.is_empty() { country.to_owned() } else { format!("{place}, {country}") }
}
