//! Tests enrichment with small databases of both schemas.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use super::testing::mmdb;
use super::*;
use crate::event::Coordinates;

fn maxmind_city() -> Vec<u8> {
    let berlin = json!({
        "country": {"iso_code": "DE", "names": {"en": "Germany", "de": "Deutschland"}},
        "subdivisions": [{"iso_code": "BE", "names": {"de": "Land Berlin", "en": "State of Berlin"}}],
        "city": {"names": {"en": "Berlin"}},
        "location": {"latitude": 52.52, "longitude": 13.405, "accuracy_radius": 20},
    });
    let country_only = json!({"country": {"iso_code": "US"},
        "location": {"latitude": 37.751, "longitude": -97.822}});
    let registered_only = json!({"registered_country": {"iso_code": "FR"}});
    mmdb(
        "GeoLite2-City",
        &[
            ("81.0.0.0/8", berlin.clone()),
            ("2a01::/16", berlin),
            ("12.0.0.0/8", country_only),
            ("90.0.0.0/8", registered_only),
            // Some databases have records for private addresses, which must be ignored.
            ("10.0.0.0/8", json!({"country": {"iso_code": "ZZ"}})),
        ],
    )
}

fn flat_city() -> Vec<u8> {
    let place = |country: &str, region: &str, city: &str, latitude: f64, longitude: f64| {
        json!({"country_code": country, "state1": region, "city": city,
            "latitude": latitude, "longitude": longitude})
    };
    mmdb(
        "DBIP-City",
        &[
            ("81.0.0.0/9", place("DE", "Hamburg", "Hamburg", 53.55, 9.99)),
            ("5.0.0.0/8", place("nl", "North Holland", "", 52.4, 4.9)),
            ("6.0.0.0/8", place("US", "", "", 0.0, 0.0)),
            ("7.0.0.0/8", place("US", "", "", 95.0, 10.0)),
        ],
    )
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn open(cities: &[&Path], networks: &[&Path]) -> Result<Enricher, EnrichError> {
    let owned = |paths: &[&Path]| paths.iter().map(|path| path.to_path_buf()).collect();
    Enricher::open(&EnrichConfig {
        city_databases: owned(cities),
        asn_databases: owned(networks),
        ..EnrichConfig::default()
    })
}

fn origin(enricher: &mut Enricher, address: &str) -> Arc<Origin> {
    enricher.origin(address.parse().unwrap())
}

fn refusal(cities: &[&Path], networks: &[&Path]) -> String {
    open(cities, networks).err().unwrap().to_string()
}

#[test]
fn maxmind_records_are_read() {
    let folder = TempDir::new().unwrap();
    let city = write(&folder, "city.mmdb", &maxmind_city());
    let mut enricher = open(&[&city], &[]).unwrap();
    let berlin = Origin {
        country: "DE".into(),
        region: "State of Berlin".into(),
        city: "Berlin".into(),
        coordinates: Some(Coordinates { latitude: 52.52, longitude: 13.405, accuracy_km: 20.0 }),
        ..Origin::default()
    };
    assert_eq!(*origin(&mut enricher, "81.2.3.4"), berlin);
    assert_eq!(*origin(&mut enricher, "2a01::1"), berlin);
    let country = origin(&mut enricher, "12.1.1.1");
    assert_eq!(country.coordinates.unwrap().accuracy_km, 500.0);
    assert!(
        !origin(&mut enricher, "90.1.1.1").is_located(),
        "the country of registration is not a location"
    );
}

#[test]
fn flat_records_are_read_with_default_radii() {
    let folder = TempDir::new().unwrap();
    let city = write(&folder, "city.mmdb", &flat_city());
    let mut enricher = open(&[&city], &[]).unwrap();
    let radius = |origin: &Origin| origin.coordinates.map(|at| at.accuracy_km);
    let hamburg = origin(&mut enricher, "81.2.3.4");
    assert_eq!((hamburg.city.as_str(), radius(&hamburg)), ("Hamburg", Some(50.0)));
    let holland = origin(&mut enricher, "5.1.1.1");
    assert_eq!((holland.country.as_str(), radius(&holland)), ("NL", Some(200.0)));
    assert_eq!(radius(&origin(&mut enricher, "6.1.1.1")), None, "0, 0 means unknown");
    assert_eq!(radius(&origin(&mut enricher, "7.1.1.1")), None, "no such latitude");
}

#[test]
fn the_first_database_with_a_record_counts() {
    let folder = TempDir::new().unwrap();
    let flat = write(&folder, "flat.mmdb", &flat_city());
    let maxmind = write(&folder, "maxmind.mmdb", &maxmind_city());
    let mut enricher = open(&[&flat, &maxmind], &[]).unwrap();
    assert_eq!(origin(&mut enricher, "81.2.3.4").city, "Hamburg");
    assert_eq!(origin(&mut enricher, "81.200.3.4").city, "Berlin");
    assert_eq!(
        origin(&mut enricher, "2a01::1").city,
        "Berlin",
        "an IPv4 database before it is skipped"
    );
}

#[test]
fn special_and_unlisted_addresses_are_unknown() {
    let folder = TempDir::new().unwrap();
    let city = write(&folder, "city.mmdb", &maxmind_city());
    let asn = write(&folder, "asn.csv", b"10.0.0.0,10.255.255.255,64512,Home\n");
    let mut enricher = open(&[&city], &[&asn]).unwrap();
    for address in ["10.1.2.3", "127.0.0.1", "::1", "99.9.9.9", "2a02::1"] {
        assert_eq!(*origin(&mut enricher, address), Origin::default(), "{address}");
    }
}

#[test]
fn networks_are_read_from_both_formats() {
    let folder = TempDir::new().unwrap();
    let record = json!({"autonomous_system_number": 64_500,
        "autonomous_system_organization": "A carrier with a name of more than 29 bytes"});
    let first = write(&folder, "asn.mmdb", &mmdb("GeoLite2-ASN", &[("81.0.0.0/8", record)]));
    let second = write(&folder, "asn.csv", b"5.0.0.0,5.0.0.255,64501,Host\n");
    let mut enricher = open(&[], &[&first, &second]).unwrap();
    let carrier = origin(&mut enricher, "81.1.1.1");
    assert_eq!(carrier.asn, 64_500);
    assert_eq!(carrier.as_name, "A carrier with a name of more than 29 bytes");
    assert_eq!(origin(&mut enricher, "5.0.0.9").asn, 64_501);
    assert!(!carrier.is_located());
}

#[test]
fn equal_origins_share_one_allocation() {
    let folder = TempDir::new().unwrap();
    let city = write(&folder, "city.mmdb", &maxmind_city());
    let mut enricher = open(&[&city], &[]).unwrap();
    let one = origin(&mut enricher, "81.2.3.4");
    assert!(Arc::ptr_eq(&one, &origin(&mut enricher, "81.9.9.9")));
    assert!(Arc::ptr_eq(&one, &origin(&mut enricher, "81.2.3.4")));
}

#[test]
fn a_replaced_database_is_read_again() {
    let folder = TempDir::new().unwrap();
    let city = write(&folder, "city.mmdb", &maxmind_city());
    let mut enricher = open(&[&city], &[]).unwrap();
    assert_eq!(origin(&mut enricher, "81.2.3.4").city, "Berlin");
    assert!(!enricher.reload_if_replaced().unwrap(), "nothing was replaced");

    let new = write(&folder, "new.mmdb", &flat_city());
    fs::rename(new, &city).unwrap();
    assert!(enricher.reload_if_replaced().unwrap());
    assert_eq!(origin(&mut enricher, "81.2.3.4").city, "Hamburg");
    assert!(!enricher.reload_if_replaced().unwrap());
}

#[test]
fn a_damaged_replacement_is_reported_once_and_the_old_database_stays_in_use() {
    let folder = TempDir::new().unwrap();
    let city = write(&folder, "city.mmdb", &maxmind_city());
    let mut enricher = open(&[&city], &[]).unwrap();

    let half = maxmind_city();
    fs::write(&city, &half[..half.len() / 2]).unwrap();
    let error = enricher.reload_if_replaced().unwrap_err().to_string();
    assert!(error.contains("city.mmdb is not a valid MaxMind DB file"), "{error}");
    assert_eq!(origin(&mut enricher, "81.2.3.4").city, "Berlin");
    assert!(!enricher.reload_if_replaced().unwrap(), "the error was reported already");

    fs::remove_file(&city).unwrap();
    let error = enricher.reload_if_replaced().unwrap_err().to_string();
    assert!(error.contains("cannot read"), "{error}");
    fs::write(&city, flat_city()).unwrap();
    assert!(enricher.reload_if_replaced().unwrap());
    assert_eq!(origin(&mut enricher, "81.2.3.4").city, "Hamburg");
}

#[test]
fn unusable_files_are_refused_with_advice() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("missing.mmdb");
    let error = refusal(&[&missing], &[]);
    assert!(error.contains("missing.mmdb") && error.contains("put the file there"), "{error}");

    let text = write(&folder, "text.mmdb", b"not a database");
    assert!(refusal(&[&text], &[]).contains("download it again"));

    let city = write(&folder, "city.mmdb", &maxmind_city());
    let error = refusal(&[], &[&city]);
    assert!(error.contains("\"GeoLite2-City\"") && error.contains("autonomous_system_number"));

    let asn = write(&folder, "asn.txt", b"");
    assert!(refusal(&[], &[&asn]).contains("must end in .mmdb or .csv"));
}

#[test]
fn a_transition_address_has_the_location_of_the_ipv4_address_inside() {
    let folder = TempDir::new().unwrap();
    let city = write(&folder, "city.mmdb", &maxmind_city());
    let mut enricher = open(&[&city], &[]).unwrap();
    // 6to4 and Teredo of 81.2.69.142, and 6to4 of the private address 10.1.2.3.
    assert_eq!(origin(&mut enricher, "2002:5102:458e::1").city, "Berlin");
    assert_eq!(origin(&mut enricher, "2001:0:1:2:0:0:aefd:ba71").city, "Berlin");
    assert!(!origin(&mut enricher, "2002:a01:203::1").is_located());
}
