//! Records one site of a key: a network in a region, with its last use and its weight.

use std::net::IpAddr;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::event::{Coordinates, DAY_SECONDS, EnrichedEvent, EventTime, Origin, SitePrefix};
use crate::network::NetworkKind;

/// Least time between two observations of a site.
const OBSERVATION_SECONDS: f64 = 600.0;

/// Half-life of an observation's weight.
const HALF_LIFE_SECONDS: f64 = 30.0 * DAY_SECONDS;

/// Weight from which a site is one of the key's own places: three observations, less some decay.
pub const ESTABLISHED: f32 = 2.5;

/// One site of a key. Its location is that of the newest request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Site {
    pub asn: u32,
    /// Number of the organisation that runs the network: see [`crate::network::organisation`].
    pub organisation: u32,
    pub country: CompactString,
    pub region: CompactString,
    pub city: CompactString,
    pub coordinates: Option<Coordinates>,
    pub last_ip: IpAddr,
    pub last_seen: EventTime,
    last_observed: EventTime,
    /// Decayed count of observations.
    pub weight: f32,
    /// Requests since the last observation began.
    pub requests: u16,
    pub kind: NetworkKind,
    /// The time of the first suspicious request from this site.
    pub told_at: Option<EventTime>,
}

impl Site {
    pub(super) fn new(enriched: &EnrichedEvent, weight: f32, is_told: bool) -> Self {
        let (event, origin) = (&enriched.event, &enriched.origin);
        Self {
            asn: origin.asn,
            organisation: origin.organisation(),
            country: origin.country.clone(),
            region: origin.region.clone(),
            city: origin.city.clone(),
            coordinates: origin.coordinates,
            last_ip: event.client_ip,
            last_seen: event.time,
            last_observed: event.time,
            weight,
            requests: 1,
            kind: origin.kind,
            told_at: is_told.then_some(event.time),
        }
    }

    /// Whether an address belongs to this site: by network and region, or by its prefix.
    pub(super) fn covers(&self, ip: IpAddr, origin: &Origin) -> bool {
        let is_same = self.asn == origin.asn
            && self.country == origin.country
            && self.region == origin.region;
        is_same || SitePrefix::is_shared(self.last_ip, ip)
    }

    /// Whether the site is one of the key's own places.
    pub fn is_established(&self) -> bool {
        self.weight >= ESTABLISHED
    }

    /// Records another request of this site. Returns whether the request counts as an observation.
    pub(super) fn note(&mut self, enriched: &EnrichedEvent, gain: f32, is_told: bool) -> bool {
        let (event, origin) = (&enriched.event, &enriched.origin);
        if self.asn != origin.asn || self.kind != origin.kind {
            self.organisation = origin.organisation();
        }
        // A database update may have moved the prefix, so the newest location counts.
        self.country.clone_from(&origin.country);
        self.region.clone_from(&origin.region);
        self.city.clone_from(&origin.city);
        self.asn = origin.asn;
        self.kind = origin.kind;
        self.coordinates = origin.coordinates;
        self.last_ip = event.client_ip;
        self.last_seen = self.last_seen.max(event.time);
        self.requests = self.requests.saturating_add(1);
        if is_told {
            self.told_at.get_or_insert(event.time);
        }
        let since = event.time.seconds_since(self.last_observed);
        if since < OBSERVATION_SECONDS {
            return false;
        }
        let decay = (-since / HALF_LIFE_SECONDS).exp2() as f32;
        self.weight = self.weight * decay + gain;
        self.last_observed = event.time;
        self.requests = 1;
        true
    }
}
