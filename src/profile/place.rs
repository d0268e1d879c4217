//! Where a key is used from: a mixture of fleets that may be active at the same time.
//!
//! A fleet is a network in a region: (AS, country, region). Observations are
//! decorrelated: a fleet gains at most one every ten minutes, so that its weight
//! counts how long it was in use and not how chatty it is.

use std::net::IpAddr;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::event::{Coordinates, EnrichedEvent, EventTime, Origin};

/// Fleets remembered of one key; the lightest gives way.
const MAX_FLEETS: usize = 8;

/// A fleet gains at most one observation in this time.
const OBSERVATION_SECONDS: f64 = 600.0;

/// Half-life of an observation.
const HALF_LIFE_SECONDS: f64 = 30.0 * 86_400.0;

/// A suspicious place becomes known this much more slowly: after hours, not minutes.
const SUSPICIOUS_WEIGHT: f32 = 0.25;

/// A fleet of three observations, a little decayed, is one of the key's own places.
pub const ESTABLISHED: f32 = 2.5;

/// One network in one region, as this key uses it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fleet {
    pub asn: u32,
    pub is_hosting: bool,
    pub country: CompactString,
    pub region: CompactString,
    pub city: CompactString,
    pub coordinates: Option<Coordinates>,
    pub last_ip: IpAddr,
    pub last_seen: EventTime,
    last_observed: EventTime,
    /// Decayed count of observations.
    pub weight: f32,
    /// It came with an alert: whoever needs to know has been told.
    pub is_told: bool,
}

impl Fleet {
    fn is_of(&self, origin: &Origin) -> bool {
        self.asn == origin.asn && self.country == origin.country && self.region == origin.region
    }
}

/// All fleets of one key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PlaceProfile {
    fleets: Vec<Fleet>,
}

impl PlaceProfile {
    pub fn learn(&mut self, enriched: &EnrichedEvent, suspicious: bool) {
        let (event, origin) = (&enriched.event, &enriched.origin);
        if !origin.is_located() && origin.asn == 0 {
            return;
        }
        let gain = if suspicious { SUSPICIOUS_WEIGHT } else { 1.0 };
        let same_network =
            |fleet: &&mut Fleet| fleet.is_of(origin) || same_prefix(fleet.last_ip, event.client_ip);
        match self.fleets.iter_mut().find(same_network) {
            Some(fleet) => {
                // A database update may have moved the prefix: the newest word counts.
                fleet.country.clone_from(&origin.country);
                fleet.region.clone_from(&origin.region);
                fleet.city.clone_from(&origin.city);
                fleet.asn = origin.asn;
                fleet.coordinates = origin.coordinates;
                fleet.last_ip = event.client_ip;
                fleet.last_seen = fleet.last_seen.max(event.time);
                fleet.is_told |= suspicious;
                let since = event.time.seconds_since(fleet.last_observed);
                if since >= OBSERVATION_SECONDS {
                    let decay = (-since / HALF_LIFE_SECONDS).exp2() as f32;
                    fleet.weight = fleet.weight * decay + gain;
                    fleet.last_observed = event.time;
                }
            }
            None => self.admit(enriched, gain, suspicious),
        }
    }

    fn admit(&mut self, enriched: &EnrichedEvent, weight: f32, suspicious: bool) {
        let (event, origin) = (&enriched.event, &enriched.origin);
        let fleet = Fleet {
            asn: origin.asn,
            is_hosting: origin.is_hosting,
            country: origin.country.clone(),
            region: origin.region.clone(),
            city: origin.city.clone(),
            coordinates: origin.coordinates,
            last_ip: event.client_ip,
            last_seen: event.time,
            last_observed: event.time,
            weight,
            is_told: suspicious,
        };
        if self.fleets.len() < MAX_FLEETS {
            // Most keys have one place for ever: a vector that grows by itself begins with four.
            self.fleets.reserve_exact(1);
            self.fleets.push(fleet);
            return;
        }
        let lightest = self.fleets.iter_mut().min_by(|a, b| a.weight.total_cmp(&b.weight));
        if let Some(lightest) = lightest {
            *lightest = fleet;
        }
    }

    pub fn fleets(&self) -> &[Fleet] {
        &self.fleets
    }

    /// Decayed observations over all fleets.
    pub fn observations(&self) -> f64 {
        self.fleets.iter().map(|fleet| f64::from(fleet.weight)).sum()
    }

    /// Observations of the fleets that `matches`.
    pub fn observations_where(&self, matches: impl Fn(&Fleet) -> bool) -> f64 {
        self.fleets.iter().filter(|fleet| matches(fleet)).map(|fleet| f64::from(fleet.weight)).sum()
    }

    /// Number of distinct values of `field` over the fleets.
    pub fn distinct<T: Ord>(&self, field: impl Fn(&Fleet) -> T) -> usize {
        let mut values: Vec<T> = self.fleets.iter().map(field).collect();
        values.sort_unstable();
        values.dedup();
        values.len()
    }

    /// Whether this is one of the key's own places.
    pub fn is_established(&self, ip: IpAddr, origin: &Origin) -> bool {
        self.fleet_of(ip, origin).is_some_and(|fleet| fleet.weight >= ESTABLISHED)
    }

    /// As [`Self::is_established`], by the address alone.
    pub fn is_established_prefix(&self, ip: IpAddr) -> bool {
        let mut established = self.fleets.iter().filter(|fleet| fleet.weight >= ESTABLISHED);
        established.any(|fleet| same_prefix(fleet.last_ip, ip))
    }

    /// The fleet that this address belongs to by region and network, or by its prefix.
    pub fn fleet_of(&self, ip: IpAddr, origin: &Origin) -> Option<&Fleet> {
        self.fleets.iter().find(|fleet| fleet.is_of(origin) || same_prefix(fleet.last_ip, ip))
    }
}

/// Whether two addresses share an IPv4 /24 or an IPv6 /48: the usual size of one site's
/// network, inside which addresses change for ordinary reasons.
pub fn same_prefix(a: IpAddr, b: IpAddr) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.to_bits() >> 8 == b.to_bits() >> 8,
        (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() >> 80 == b.to_bits() >> 80,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_24_bits_in_ipv4_and_48_in_ipv6() {
        let same = |a: &str, b: &str| matches!((a.parse(), b.parse()), (Ok(a), Ok(b)) if same_prefix(a, b));
        assert!(same("203.0.113.1", "203.0.113.250"));
        assert!(!same("203.0.113.1", "203.0.114.1"));
        assert!(same("2001:db8:1:2::1", "2001:db8:1:ffff::9"));
        assert!(!same("2001:db8:1::1", "2001:db8:2::1"));
        assert!(!same("203.0.113.1", "2001:db8:1::1"));
    }
}
