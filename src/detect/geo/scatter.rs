//! Finds an hour in which a key is used from far more new networks than usual, in several countries:
//! `geo.new_location`. Rotating proxies and keys that were sold look so.

use serde_json::json;

use crate::alert::{Action, Ceiling, DetectorId, Restraint};
use crate::detect::Signal;
use crate::event::{AccessEvent, EventTime};
use crate::profile::place::PlaceProfile;
use crate::rate::{Forecast, negative_binomial_tail};

/// Fewer networks are judged one by one.
const MIN_NETWORKS: u16 = 6;
/// One person changes between the networks of one country.
const MIN_COUNTRIES: u16 = 3;
/// New networks in an hour, whatever the key's own number.
const USUAL_NETWORKS: f64 = 0.3;
/// New networks come in clumps: size parameter of the negative binomial distribution.
const CLUMPING: f64 = 1.0;

/// Many new networks within an hour.
#[derive(Clone, Copy, Debug)]
pub struct Scattered {
    pub p_value: f64,
    networks: u16,
    countries: u16,
    usual: f64,
}

/// Judges the requests of the current hour before this one.
pub fn find_scatter(places: &PlaceProfile, time: EventTime) -> Option<Scattered> {
    let scatter = places.scatter();
    let (networks, countries) = scatter.current(time);
    if networks < MIN_NETWORKS || countries < MIN_COUNTRIES {
        return None;
    }
    let usual = scatter.usual();
    let forecast = Forecast { mean: USUAL_NETWORKS + usual, size: CLUMPING };
    let p_value = negative_binomial_tail(u64::from(networks), forecast);
    Some(Scattered { p_value, networks, countries, usual })
}

impl Scattered {
    /// A key that a launch gives to a crowd looks so too.
    pub const CEILING: Option<Ceiling> =
        Some(Ceiling { most: Action::Notify, reason: Restraint::OrdinaryCause });

    pub fn into_signal(self, event: &AccessEvent) -> Signal {
        let Self { p_value, networks, countries, usual } = self;
        Signal {
            detector: DetectorId::NewLocation,
            p_value,
            observed: Some(f64::from(networks)),
            expected: Some(usual),
            headline: format!("used from {networks} new networks in {countries} new countries"),
            sentence: format!(
                "Used from {networks} networks and {countries} countries within this hour that the \
                 key was never used from, the last time from {}; {usual:.1} new networks an hour \
                 are usual.",
                event.client_ip
            ),
            fields: json!({
                "new_networks": networks,
                "new_countries": countries,
                "usual_new_networks": usual,
                "ip": event.client_ip,
            }),
            ceiling: None,
        }
    }
}
