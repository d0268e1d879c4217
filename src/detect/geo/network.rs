//! Finds a network (AS) that the key has never been used from: `network.new_asn`.

use serde_json::json;

use super::{Prior, arrivals, is_exit_of_old, ordinary_move};
use crate::alert::{Ceiling, DetectorId};
use crate::detect::Signal;
use crate::event::{EnrichedEvent, Origin};
use crate::network::NetworkKind;
use crate::profile::place::{PlaceProfile, Site};

/// Given that a key is used from a new network, the probability that it is this hoster, ...
const RENTED: f64 = 0.004;
/// ... that people switched on a relay, a VPN or a satellite, ...
const DETACHED: f64 = 0.1;
/// ... that a key in a data centre came to a network of people, ...
const FROM_SERVER_TO_PEOPLE: f64 = 0.01;
/// ... and, as a multiple of its share of all keys, that it is this carrier.
const CARRIER: f64 = 30.0;

/// A single member of a crowd sends fewer requests than this in ten minutes.
const HEAVY: u16 = 20;

/// A network that is new to the key.
#[derive(Clone, Copy, Debug)]
pub struct NewNetwork {
    pub p_value: f64,
    /// Probability of any new one, whichever it is.
    pub new: f64,
    pub ceiling: Option<Ceiling>,
}

pub(super) fn find_new_network(
    places: &PlaceProfile,
    prior: &Prior<'_>,
    own: Option<&Site>,
    origin: &Origin,
) -> Option<NewNetwork> {
    if origin.asn == 0 || places.knows_network(origin) || is_exit_of_old(places, origin) {
        return None;
    }
    let novelty = places.novelty();
    // People change carriers, most often to common ones. Servers stay where they are, and a thief
    // who hides rents one.
    let which = if origin.kind == NetworkKind::Hosting {
        RENTED
    } else if origin.kind.is_detached() {
        DETACHED
    } else if novelty.rented() > 0.5 {
        FROM_SERVER_TO_PEOPLE
    } else {
        CARRIER * prior.network()
    };
    let is_heavy = own.is_some_and(|site| site.requests >= HEAVY);
    let new = match origin.kind {
        // A crowd comes from everywhere, but seldom from rented machines.
        NetworkKind::Hosting if is_heavy => novelty.new_network().min(novelty.rented()),
        NetworkKind::Hosting => (novelty.new_network() * arrivals(novelty)).min(1.0),
        // Even if all networks of a crowd are known, a member in one more network is ordinary.
        _ => novelty.new_network().max(places.variety().powi(2)),
    };
    let p_value = (new * which).min(1.0);
    Some(NewNetwork { p_value, new, ceiling: ordinary_move(places, origin) })
}

impl NewNetwork {
    pub fn into_signal(self, places: &PlaceProfile, enriched: &EnrichedEvent) -> Signal {
        let Origin { asn, as_name, .. } = &*enriched.origin;
        let ip = enriched.event.client_ip;
        let mut known: Vec<u32> = places.sites().iter().map(|site| site.asn).collect();
        known.sort_unstable();
        known.dedup();
        Signal {
            detector: DetectorId::NewAsn,
            p_value: self.p_value,
            observed: None,
            expected: None,
            headline: format!("used from AS{asn} {as_name} for the first time"),
            sentence: format!(
                "The address {ip} belongs to AS{asn} ({as_name}), a network this key has never \
                 used."
            ),
            fields: json!({
                "asn": asn,
                "as_name": as_name,
                "ip": ip,
                "known_asns": known,
                "probability": self.p_value,
            }),
            ceiling: None,
        }
    }
}
