//! Provides real networks in real cities, so that databases locate the generated addresses where
//! the generator places them. Each prefix lies wholly in one city and one AS of the DB-IP City Lite
//! and IP-location-db ASN databases (CC BY 4.0).

use std::net::IpAddr;
use std::sync::LazyLock;

use ipnet::IpNet;
use serde::Deserialize;

use super::random::{Random, pick};

const EARTH_RADIUS_KM: f64 = 6_371.0;

/// The kind of users of a network's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkKind {
    Residential,
    Mobile,
    Hosting,
    Vpn,
    Office,
    /// The exits of a private relay, which lie near its users.
    Relay,
    /// The ground stations of a satellite network.
    Satellite,
    /// The gateways of Wi-Fi in aeroplanes and on ships.
    Inflight,
}

/// A /24 of IPv4 or a /48 of IPv6 with its city and AS.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Place {
    pub prefix: IpNet,
    pub city: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    pub latitude: f64,
    pub longitude: f64,
    pub asn: u32,
    pub kind: NetworkKind,
    /// Offset of standard time; the generator ignores daylight saving time.
    pub utc_offset_minutes: i32,
}

/// All places, always in the same order.
pub static PLACES: LazyLock<Vec<Place>> = LazyLock::new(|| {
    csv::Reader::from_reader(include_str!("places.csv").as_bytes())
        .deserialize()
        .map(|row| {
            #[expect(clippy::expect_used, reason = "the table is compiled in and read by a test")]
            row.expect("places.csv is well formed")
        })
        .collect()
});

impl Place {
    /// Great-circle distance (haversine).
    pub fn distance_km(&self, other: &Self) -> f64 {
        let (from, to) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half_latitude = ((to - from) / 2.0).sin();
        let half_longitude = ((other.longitude - self.longitude).to_radians() / 2.0).sin();
        let a = half_latitude.powi(2) + from.cos() * to.cos() * half_longitude.powi(2);
        2.0 * EARTH_RADIUS_KM * a.sqrt().min(1.0).asin()
    }

    /// The address of host number `host`, which is taken modulo the size of the prefix.
    pub fn address(&self, host: u128) -> IpAddr {
        match self.prefix {
            IpNet::V4(net) => {
                let hosts = u32::MAX >> net.prefix_len();
                IpAddr::from((u32::from(net.network()) | (host as u32 & hosts)).to_be_bytes())
            }
            IpNet::V6(net) => {
                let hosts = u128::MAX >> net.prefix_len();
                IpAddr::from((u128::from(net.network()) | (host & hosts)).to_be_bytes())
            }
        }
    }

    pub const fn is_v4(&self) -> bool {
        matches!(self.prefix, IpNet::V4(_))
    }

    /// Whether the network offers machines for rent or anonymizes, and has no users of its own.
    pub const fn is_rented(&self) -> bool {
        matches!(self.kind, NetworkKind::Hosting | NetworkKind::Vpn)
    }
}

/// The places that satisfy `wanted`.
pub(super) fn places_where(wanted: impl Fn(&Place) -> bool) -> Vec<&'static Place> {
    PLACES.iter().filter(|place| wanted(place)).collect()
}

/// One of the places that satisfy `wanted`; `None` if there is none.
pub(super) fn any_place(
    random: &mut Random,
    wanted: impl Fn(&Place) -> bool,
) -> Option<&'static Place> {
    let places = places_where(wanted);
    (!places.is_empty()).then(|| pick(random, &places))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    #[test]
    fn the_table_is_well_formed_and_spans_the_world() {
        assert!(PLACES.len() >= 60);
        let countries: std::collections::BTreeSet<_> =
            PLACES.iter().map(|place| place.country.as_str()).collect();
        for country in ["US", "GB", "DE", "IN", "JP", "AU", "BR", "ZA"] {
            assert!(countries.contains(country), "{country}");
        }
        for place in PLACES.iter() {
            let length = if place.is_v4() { 24 } else { 48 };
            assert_eq!(place.prefix.prefix_len(), length, "{}", place.prefix);
        }
    }

    #[test]
    fn prefixes_do_not_overlap() {
        for (i, one) in PLACES.iter().enumerate() {
            for other in &PLACES[i + 1..] {
                assert!(!one.prefix.contains(&other.prefix), "{} {}", one.prefix, other.prefix);
            }
        }
    }

    #[test]
    fn distances_are_those_of_the_globe() {
        let city = |name| PLACES.iter().find(|place| place.city == name);
        let (Some(london), Some(sydney)) = (city("London"), city("Sydney")) else {
            panic!("London and Sydney are in the table")
        };
        assert!((london.distance_km(sydney) - 16_990.0).abs() < 100.0);
    }

    #[test]
    fn every_address_lies_in_its_prefix() {
        for place in PLACES.iter() {
            for host in [0, 1, 77, 255, 1 << 70, u128::MAX] {
                assert!(place.prefix.contains(&place.address(host)), "{}", place.prefix);
            }
        }
    }
}
