//! `geo.impossible_travel`, `geo.new_location`, `network.new_asn`.
//!
//! The probability of a place or network that the key has never used is that of a
//! Pitman-Yor process (Pitman and Yor 1997): it falls with the observations made and
//! rises with the number of different places already used, and is shared out by how
//! common the place is over all keys.

use serde_json::{Value, json};

use super::Signal;
use crate::alert::DetectorId;
use crate::event::{Coordinates, EnrichedEvent, Origin};
use crate::profile::place::{ESTABLISHED, Fleet, PlaceProfile};
use crate::profile::population::Population;

/// Concentration and discount of the Pitman-Yor process.
const CONCENTRATION: f64 = 0.5;
const DISCOUNT: f64 = 0.25;

/// Decorrelated observations (ten minutes each) before anything can be new.
const MIN_OBSERVATIONS: f64 = 6.0;
/// Travel needs less history: it is judged by physics.
const MIN_TRAVEL_OBSERVATIONS: f64 = 3.0;

/// Given that a key is used from a new network, the probability that it is this hoster, ...
const RENTED: f64 = 0.004;
/// ... that a key which lives in a data centre came to a network of people, ...
const FROM_SERVER_TO_PEOPLE: f64 = 0.01;
/// ... and, times its share of all keys, that it is this carrier.
const CARRIER: f64 = 30.0;

/// Faster than a passenger aircraft flies, with the wind behind it.
const MAX_SPEED_KMH: f64 = 1_000.0;
/// Shorter distances than this are within what location databases get wrong.
const MIN_DISTANCE_KM: f64 = 300.0;
/// Clocks of different servers may differ by this much.
const CLOCK_JITTER_SECONDS: f64 = 30.0;
/// Only a place used within this time says where the key's holder is.
const PRESENCE_SECONDS: f64 = 12.0 * 3_600.0;
/// Chance that an innocent new place shows impossible speed: a VPN, a proxy, a wrong
/// database row.
const INNOCENT_TRAVEL: f64 = 0.01;

/// Pitman-Yor probability that the next observation is of a value not seen before.
fn new_value_probability(observations: f64, distinct: usize) -> f64 {
    (CONCENTRATION + DISCOUNT * distinct as f64) / (CONCENTRATION + observations)
}

/// How common an event's place is among the keys of its tenant, and of the fleet.
struct Prior {
    country: f64,
    network: f64,
}

impl Prior {
    fn of(population: &Population, enriched: &EnrichedEvent) -> Self {
        let (tenant, origin) = (enriched.event.tenant.as_deref(), &enriched.origin);
        Self {
            country: population.country(tenant, &origin.country),
            network: population.network(tenant, origin.asn),
        }
    }
}

/// What is new about an event's place. P-values of 1 mean: nothing.
#[derive(Clone, Copy, Debug)]
pub struct PlaceFinding<'a> {
    enriched: &'a EnrichedEvent,
    pub new_location: f64,
    pub new_asn: f64,
    pub travel: Option<Travel<'a>>,
    /// Not one of the key's own places yet, and told already.
    pub is_told: bool,
}

/// Two places that one holder cannot have been at.
#[derive(Clone, Copy, Debug)]
pub struct Travel<'a> {
    pub p_value: f64,
    from: &'a Fleet,
    kilometres: f64,
    kilometres_per_hour: f64,
}

/// Judges an event's place against the key's fleets.
pub fn find_place<'a>(
    places: &'a PlaceProfile,
    population: &Population,
    enriched: &'a EnrichedEvent,
) -> PlaceFinding<'a> {
    let (event, origin) = (&enriched.event, &*enriched.origin);
    let mut finding =
        PlaceFinding { enriched, new_location: 1.0, new_asn: 1.0, travel: None, is_told: false };
    let own = places.fleet_of(event.client_ip, origin);
    if own.is_some_and(|fleet| fleet.weight >= ESTABLISHED) {
        return finding;
    }
    let prior = Prior::of(population, enriched);
    let observations = places.observations();
    finding.is_told = own.is_some_and(|fleet| fleet.is_told);
    if observations >= MIN_OBSERVATIONS && !finding.is_told {
        finding.new_location = new_location(places, &prior, origin);
        finding.new_asn = new_asn(places, &prior, origin);
    }
    if observations >= MIN_TRAVEL_OBSERVATIONS {
        finding.travel = find_travel(places, &prior, own, enriched);
    }
    finding
}

fn new_location(places: &PlaceProfile, prior: &Prior, origin: &Origin) -> f64 {
    if !origin.is_located() {
        return 1.0;
    }
    let in_country = |fleet: &Fleet| fleet.country == origin.country;
    let used = places.observations_where(in_country);
    if used >= f64::from(ESTABLISHED) {
        return 1.0;
    }
    let countries = places.distinct(|fleet| fleet.country.clone());
    let known = places.observations() - used;
    new_value_probability(known, countries) * prior.country
}

fn new_asn(places: &PlaceProfile, prior: &Prior, origin: &Origin) -> f64 {
    if origin.asn == 0 {
        return 1.0;
    }
    let used = places.observations_where(|fleet| fleet.asn == origin.asn);
    if used >= f64::from(ESTABLISHED) {
        return 1.0;
    }
    let networks = places.distinct(|fleet| fleet.asn);
    let known = places.observations() - used;
    let own_hosting = places.observations_where(|fleet| fleet.is_hosting) / places.observations();
    // People change carriers, and the common ones more often. Servers stay where they are, and
    // whoever does not want to be found rents one.
    let which = if origin.is_hosting {
        RENTED
    } else if own_hosting > 0.5 {
        FROM_SERVER_TO_PEOPLE
    } else {
        CARRIER * prior.network
    };
    (new_value_probability(known, networks) * which).min(1.0)
}

fn find_travel<'a>(
    places: &'a PlaceProfile,
    prior: &Prior,
    own: Option<&Fleet>,
    enriched: &EnrichedEvent,
) -> Option<Travel<'a>> {
    let (event, origin) = (&enriched.event, &enriched.origin);
    let here = origin.coordinates?;
    let fastest = places
        .fleets()
        .iter()
        .filter(|fleet| fleet.weight >= ESTABLISHED && fleet.asn != origin.asn)
        .filter_map(|fleet| {
            let seconds = event.time.seconds_since(fleet.last_seen).abs();
            let kilometres = certain_distance_km(fleet.coordinates?, here);
            let hours = (seconds + CLOCK_JITTER_SECONDS) / 3_600.0;
            let possible = kilometres < MIN_DISTANCE_KM || seconds > PRESENCE_SECONDS;
            (!possible).then_some((fleet, kilometres, kilometres / hours))
        })
        // The holder may have come from any of the key's places: the slowest journey counts.
        .min_by(|a, b| a.2.total_cmp(&b.2))?;
    let (from, kilometres, kilometres_per_hour) = fastest;
    if kilometres_per_hour < MAX_SPEED_KMH {
        return None;
    }
    let p_value = place_probability(places, prior, own) * INNOCENT_TRAVEL;
    Some(Travel { p_value, from, kilometres, kilometres_per_hour })
}

/// Probability that the next observation is of this place: known a little, or new.
fn place_probability(places: &PlaceProfile, prior: &Prior, own: Option<&Fleet>) -> f64 {
    let observations = places.observations();
    let countries = places.distinct(|fleet| fleet.country.clone());
    // The square root tempers the prior: an attacker's country may be a common one.
    let country = prior.country.max(0.01).sqrt();
    let new = new_value_probability(observations, countries) * country;
    let known = own
        .map_or(0.0, |fleet| (f64::from(fleet.weight) - DISCOUNT) / (observations + CONCENTRATION));
    new.max(known)
}

/// Great-circle distance less what the location database does not know.
fn certain_distance_km(a: Coordinates, b: Coordinates) -> f64 {
    (great_circle_km(a, b) - a.accuracy_km - b.accuracy_km).max(0.0)
}

/// Haversine formula on a sphere of 6,371 km (Sinnott 1984).
pub fn great_circle_km(a: Coordinates, b: Coordinates) -> f64 {
    let (lat_a, lat_b) = (a.latitude.to_radians(), b.latitude.to_radians());
    let half_lat = ((lat_b - lat_a) / 2.0).sin();
    let half_lon = ((b.longitude - a.longitude).to_radians() / 2.0).sin();
    let h = half_lat * half_lat + lat_a.cos() * lat_b.cos() * half_lon * half_lon;
    2.0 * 6_371.0 * h.sqrt().min(1.0).asin()
}

impl PlaceFinding<'_> {
    /// The p-values of what is new; 1 is nothing.
    pub fn p_values(&mut self) -> impl Iterator<Item = &mut f64> {
        let travel = self.travel.as_mut().map(|travel| &mut travel.p_value);
        [&mut self.new_location, &mut self.new_asn].into_iter().chain(travel)
    }

    pub fn location_signal(&self, places: &PlaceProfile) -> Signal {
        let here = describe(&self.enriched.origin);
        let known = known_countries(places);
        Signal {
            detector: DetectorId::NewLocation,
            p_value: self.new_location,
            observed: None,
            expected: None,
            headline: format!("used from {here} for the first time"),
            sentence: format!(
                "Used from {here} ({}), where this key has never been used; its places so far: {}.",
                self.enriched.event.client_ip,
                known.join(", ")
            ),
            fields: json!({
                "place": place_json(&self.enriched.origin),
                "ip": self.enriched.event.client_ip,
                "known_places": known,
                "probability": self.new_location,
            }),
        }
    }

    pub fn asn_signal(&self, places: &PlaceProfile) -> Signal {
        let origin = &self.enriched.origin;
        let mut known: Vec<u32> = places.fleets().iter().map(|fleet| fleet.asn).collect();
        known.sort_unstable();
        known.dedup();
        Signal {
            detector: DetectorId::NewAsn,
            p_value: self.new_asn,
            observed: None,
            expected: None,
            headline: format!("used from AS{} {} for the first time", origin.asn, origin.as_name),
            sentence: format!(
                "The address {} belongs to AS{} ({}), a network this key has never used.",
                self.enriched.event.client_ip, origin.asn, origin.as_name
            ),
            fields: json!({
                "asn": origin.asn,
                "as_name": origin.as_name,
                "ip": self.enriched.event.client_ip,
                "known_asns": known,
                "probability": self.new_asn,
            }),
        }
    }
}

impl Travel<'_> {
    pub fn into_signal(self, enriched: &EnrichedEvent) -> Signal {
        let (event, origin) = (&enriched.event, &enriched.origin);
        let from = fleet_name(self.from);
        let here = describe(origin);
        let seconds = event.time.seconds_since(self.from.last_seen).abs();
        let kilometres = grouped(self.kilometres);
        Signal {
            detector: DetectorId::ImpossibleTravel,
            p_value: self.p_value,
            observed: Some(self.kilometres_per_hour),
            expected: Some(MAX_SPEED_KMH),
            headline: format!(
                "used in {from} and {here}, {kilometres} km apart, within {}",
                duration(seconds)
            ),
            sentence: format!(
                "Used in {from} ({}) at {} and in {here} ({}) at {}: at least {kilometres} km in \
                 {}, or {} km/h.",
                self.from.last_ip,
                self.from.last_seen,
                event.client_ip,
                event.time,
                duration(seconds),
                grouped(self.kilometres_per_hour)
            ),
            fields: json!({
                "from": {
                    "place": { "country": self.from.country, "region": self.from.region,
                               "city": self.from.city, "asn": self.from.asn },
                    "ip": self.from.last_ip,
                    "time": self.from.last_seen,
                },
                "to": {
                    "place": place_json(origin),
                    "ip": event.client_ip,
                    "time": event.time,
                },
                "kilometres": self.kilometres.round(),
                "kilometres_per_hour": self.kilometres_per_hour.round(),
            }),
        }
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

fn fleet_name(fleet: &Fleet) -> String {
    name_of(&fleet.city, &fleet.region, &fleet.country)
}

fn name_of(city: &str, region: &str, country: &str) -> String {
    let place = if city.is_empty() { region } else { city };
    if place.is_empty() { country.to_owned() } else { format!("{place}, {country}") }
}

fn known_countries(places: &PlaceProfile) -> Vec<String> {
    let mut known: Vec<String> =
        places.fleets().iter().filter(|f| f.weight >= 1.0).map(fleet_name).collect();
    known.sort_unstable();
    known.dedup();
    known
}

/// `5 s`, `12 min`, `3.5 h`.
pub fn duration(seconds: f64) -> String {
    if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else if seconds < 7_200.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3_600.0)
    }
}

/// Whole number with thousands separated by commas.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64, longitude: f64) -> Coordinates {
        Coordinates { latitude, longitude, accuracy_km: 50.0 }
    }

    #[test]
    fn paris_to_new_york_is_5837_km() {
        let distance = great_circle_km(at(48.8566, 2.3522), at(40.7128, -74.0060));
        assert!((distance - 5_837.0).abs() < 10.0, "{distance}");
        assert_eq!(great_circle_km(at(10.0, 10.0), at(10.0, 10.0)), 0.0);
        assert!((great_circle_km(at(0.0, 0.0), at(0.0, 180.0)) - 20_015.0).abs() < 1.0);
    }

    #[test]
    fn uncertainty_shortens_a_journey_and_never_makes_it_negative() {
        assert_eq!(certain_distance_km(at(48.0, 2.0), at(48.3, 2.0)), 0.0);
    }

    #[test]
    fn a_new_place_is_less_likely_the_longer_the_key_is_known() {
        assert!(new_value_probability(1_000.0, 1) < new_value_probability(10.0, 1) / 50.0);
        assert!(new_value_probability(100.0, 8) > new_value_probability(100.0, 1));
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(1234567.4), "1,234,567");
        assert_eq!(grouped(12.0), "12");
        assert_eq!(duration(90.0), "90 s");
        assert_eq!(duration(8_000.0), "2.2 h");
    }
}
