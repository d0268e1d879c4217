//! Finds uses of a key that its holder could have made only by travelling impossibly fast.

use super::{PlaceProfile, Site};
use crate::event::{EnrichedEvent, HOUR_SECONDS, Origin};
use crate::network::NetworkKind;

/// Highest possible speed: above that of a passenger aircraft with tailwind.
pub const MAX_SPEED_KMH: f64 = 1_000.0;
/// Shorter distances are within the error of location databases.
const MIN_DISTANCE_KM: f64 = 300.0;
/// Largest ordinary difference between the clocks of two servers.
const CLOCK_JITTER_SECONDS: f64 = 30.0;
/// Longest time for which a use is evidence of the location of the key's holder.
const PRESENCE_SECONDS: f64 = 12.0 * HOUR_SECONDS;

/// A journey from one of the key's established sites to the place of the present use, at an
/// impossible speed.
#[derive(Clone, Copy, Debug)]
pub struct Journey<'a> {
    pub from: &'a Site,
    pub kilometres: f64,
    pub kilometres_per_hour: f64,
}

impl PlaceProfile {
    /// The slowest journey to the place of this event, since the holder may have come from any of
    /// the key's sites. `None` if the journey is possible, or if it is not evidence of travel.
    pub fn impossible_journey(&self, enriched: &EnrichedEvent) -> Option<Journey<'_>> {
        let (event, origin) = (&enriched.event, &enriched.origin);
        let here = origin.coordinates?;
        let journeys = self.sites.iter().filter_map(|from| {
            let is_here = from.covers(event.client_ip, origin);
            if is_here || !from.is_established() || !implies_travel(from, origin) {
                return None;
            }
            let seconds = event.time.seconds_since(from.last_seen).abs();
            let kilometres = from.coordinates?.certain_kilometres_to(here);
            let hours = (seconds + CLOCK_JITTER_SECONDS) / HOUR_SECONDS;
            let is_evidence = kilometres >= MIN_DISTANCE_KM && seconds <= PRESENCE_SECONDS;
            let kilometres_per_hour = kilometres / hours;
            is_evidence.then_some(Journey { from, kilometres, kilometres_per_hour })
        });
        let slowest =
            journeys.min_by(|a, b| a.kilometres_per_hour.total_cmp(&b.kilometres_per_hour))?;
        (slowest.kilometres_per_hour >= MAX_SPEED_KMH).then_some(slowest)
    }
}

/// Whether a use in both places means that somebody travelled between them.
fn implies_travel(from: &Site, to: &Origin) -> bool {
    let kinds = [from.kind, to.kind];
    // An access provider reassigns its addresses between regions.
    if from.asn == to.asn {
        return false;
    }
    // The database locates the ground station instead of the client.
    if kinds.contains(&NetworkKind::Satellite) {
        return false;
    }
    // A client changes from Wi-Fi to a mobile network, a relay or a VPN without moving.
    let is_loose = |kind: NetworkKind| kind.is_detached() || kind == NetworkKind::Carrier;
    from.country != to.country || !(is_loose(from.kind) || is_loose(to.kind))
}
