//! Tests `keywatch generate` as a user runs it, and compares its table of places with the installed
//! GeoIP databases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use assert_cmd::Command;
use keywatch::generate::{PLACES, Place};
use serde_json::{Value, json};

use crate::support::geo;

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
    let Some(folder) = geo::databases() else { return };
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
        let cast = path("cast");
        let names = [&out, &labels, &keys, &cast].map(|path| path.to_str().unwrap());
        let outcome = generate(&[
            "--keys",
            "80",
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
            "--cast",
            names[3],
        ]);
        let summary = String::from_utf8_lossy(&outcome.success().get_output().stderr).into_owned();
        assert!(summary.contains(" events of 80 keys in ") && summary.contains("takeover 1"));
        let events = zstd::decode_all(&std::fs::read(out).unwrap()[..]).unwrap();
        let read = |path| std::fs::read(path).unwrap();
        [events, read(labels), read(keys), read(cast)]
    };
    let [events, labels, keys, cast] = run("first");
    assert!([events.clone(), labels.clone(), keys.clone(), cast.clone()] == run("second"));
    assert_eq!(read_lines(&cast).len(), 80);
    let registered: Vec<_> = read_lines(&keys).iter().map(|key| key["key_id"].clone()).collect();
    assert_eq!(registered.len(), 80);
    assert!(read_lines(&events).len() > 1_000);
    for label in read_lines(&labels) {
        let named =
            label["keys"].as_array().cloned().unwrap_or_else(|| vec![label["key_id"].clone()]);
        assert!(named.iter().all(|key| registered.contains(key)), "{label}");
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
    let cases: [(&[&str], &str); 7] = [
        (&["--out", "-", "--characters", "none"], "name at least one character"),
        (&["--out", "-", "--characters", "app_crowds"], "did you mean `app_crowd`"),
        (&["--out", "-", "--attacks", "takeovr"], "did you mean `takeover`"),
        (
            &["--out", "-", "--labels", "-"],
            "only one of --out, --labels, --keys-out and --cast can be `-`",
        ),
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

fn write_rows(path: &Path, rows: &[Value]) {
    let lines: Vec<_> = rows.iter().map(Value::to_string).collect();
    std::fs::write(path, lines.join("\n")).unwrap();
}

fn alert(id: &str, key: &str, minute: u32, action: &str, detector: &str) -> Value {
    json!({
        "id": id, "type": "alert.opened", "key_id": key, "severity": "high", "action": action,
        "detected_event_time": format!("2026-01-05T10:{minute:02}:00Z"), "detectors": [detector],
    })
}

/// Two attacks, of which one is found, one false incident, and a suspension by refused requests.
#[test]
fn the_evaluation_tells_found_attacks_false_incidents_and_broken_ceilings_apart() {
    let folder = tempfile::tempdir().unwrap();
    let [labels, cast, alerts] =
        ["labels", "cast", "alerts"].map(|name| folder.path().join(format!("{name}.jsonl")));
    let label = |key: &str, kind: &str, detector: &str| {
        json!({
            "key_id": key, "kind": kind, "detectors": [detector],
            "start": "2026-01-05T10:00:00Z", "end": "2026-01-05T10:20:00Z",
        })
    };
    let mut forged = label("c", "forged_nonce", "auth.failure_burst");
    forged["max_action"] = json!("notify");
    forged["optional"] = json!(true);
    write_rows(
        &labels,
        &[label("a", "takeover", "rate.spike"), label("b", "takeover", "rate.spike"), forged],
    );
    let entry = |key: &str, character: &str| json!({"key_id": key, "character": character, "attacks": [], "key_days": 10.0});
    write_rows(
        &cast,
        &[entry("a", "cron"), entry("b", "cron"), entry("c", "cron"), entry("d", "app_crowd")],
    );
    write_rows(
        &alerts,
        &[
            alert("1", "a", 5, "suspend", "rate.spike"),
            alert("2", "b", 5, "notify", "geo.new_location"),
            alert("3", "c", 5, "suspend", "replay.duplicate_nonce"),
            alert("4", "d", 5, "revoke", "geo.impossible_travel"),
        ],
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/evaluate.py");
    let outcome = Command::new("python3")
        .arg(script)
        .arg("--json")
        .args([labels, cast, alerts])
        .assert()
        .success();
    let report: Value = serde_json::from_slice(&outcome.get_output().stdout).unwrap();
    assert_eq!(report["total"]["found"], 1);
    assert_eq!(report["total"]["of"], 2);
    assert_eq!(report["total"]["false"], 1);
    let worst = &report["characters"][0];
    assert_eq!((&worst["character"], &worst["drastic"]), (&json!("app_crowd"), &json!(1)));
    assert_eq!(worst["per_thousand_key_days"], 100.0);
    assert_eq!(report["violations"][0]["key_id"], "c");
}
