//! Tests the export of an incident, and its replay without a server.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use keywatch::alert::Alert;
use keywatch::config::Config;
use keywatch::engine::Scorer;
use keywatch::event::EventTime;
use keywatch::record::BatchLimits;
use keywatch::source::FileReader;
use keywatch::store::StoredBatch;
use serde_json::{Value, json};

use crate::clickhouse::samples::batch;
use crate::keys_cli;
use crate::support::clickhouse::{TestDatabase, database, environment, keywatch_binary};

const KEY: &str = "ak-stolen";
const HONEST: u32 = 300;

/// A request each twenty seconds from Zurich, and the last one sent again from São Paulo.
fn requests() -> Vec<Value> {
    let begin = EventTime::now().plus_seconds(-7_200.0);
    let request = |n: u32, ip: &str, nonce: u32| {
        json!({
            "time": begin.plus_seconds(20.0 * f64::from(n)), "request_id": format!("r-{n}"),
            "key_id": KEY, "client_ip": ip, "method": "GET", "path": "/v1/orders", "status": 200,
            "nonce": format!("raw nonce {nonce}"), "user_agent": "orders/1.0",
        })
    };
    let honest = (0..HONEST).map(|n| request(n, "81.2.69.10", n));
    honest.chain([request(HONEST, "45.83.64.66", HONEST - 1)]).collect()
}

fn place(ip: &str, country: &str, city: &str, latitude: f64, longitude: f64, asn: u32) -> Value {
    json!({ "address": ip, "country": country, "region": city, "city": city, "latitude": latitude,
        "longitude": longitude, "asn": asn, "as_name": format!("Network {asn}") })
}

fn write_lines(path: &Path, lines: &[Value]) {
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    fs::write(path, lines.join("\n") + "\n").unwrap();
}

/// Judges the requests as the service does, and stores them with the incident. Returns its
/// revisions.
async fn store_theft(database: &TestDatabase, folder: &Path) -> Vec<Alert> {
    let path = |name: &str| folder.join(name);
    write_lines(&path("log.jsonl"), &requests());
    write_lines(
        &path("places.jsonl"),
        &[
            place("81.2.69.10", "CH", "Zurich", 47.37, 8.54, 64_500),
            place("45.83.64.66", "BR", "São Paulo", -23.55, -46.63, 64_501),
        ],
    );
    write_lines(
        &path("keys.jsonl"),
        &[json!({ "key_id": KEY, "owner": "ann@example.com", "allowed_cidrs": ["81.2.69.0/24"] })],
    );
    keys_cli::run(database, folder, &["import", "keys.jsonl"]).succeeded();
    let mut config = Config::default();
    config.enrich.places = Some(path("places.jsonl"));
    config.detect.registry_file = Some(path("keys.jsonl"));
    let mut scorer = Scorer::open(&config).unwrap();
    let limits = BatchLimits::from(&config.source);
    let mut reader = FileReader::open(vec![path("log.jsonl")], limits).unwrap();
    let mut alerts = Vec::new();
    for raw in reader.by_ref() {
        let scored = scorer.process(&raw.unwrap(), None);
        let stored = StoredBatch {
            dispositions: &scored.outcome.dispositions,
            alerts: &scored.outcome.alerts,
            ..batch(&scored.partition, &scored.events)
        };
        database.store.write_batch(&stored).await.unwrap();
        alerts.extend(scored.outcome.alerts);
    }
    alerts
}

fn run(database: Option<&TestDatabase>, folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(keywatch_binary());
    command.args(arguments).current_dir(folder);
    if let Some(database) = database {
        command.envs(environment(&database.config));
    }
    command.output().unwrap()
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

fn files(archive: &Path) -> BTreeMap<String, String> {
    let gzip = flate2::read::GzDecoder::new(fs::File::open(archive).unwrap());
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(gzip).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.insert(entry.path().unwrap().display().to_string(), text);
    }
    files
}

#[tokio::test]
async fn a_case_holds_the_incident_and_replays_to_its_id() {
    let database = database().await;
    let folder = tempfile::tempdir().unwrap();
    let alerts = store_theft(&database, folder.path()).await;
    let [alert] = alerts.as_slice() else { panic!("{alerts:#?}") };
    let id = alert.id.as_str();
    let on = |arguments: &[&str]| run(Some(&database), folder.path(), arguments);
    succeeded(&on(&["alerts", "ack", id, "--by", "alice", "-m", "asking the owner"]));
    let exported = on(&["alerts", "export", id, "--out", "case.tar.gz"]);
    succeeded(&exported);
    let said = String::from_utf8(exported.stdout).unwrap();
    assert!(said.starts_with(&format!("{id}: 301 requests since ")), "{said}");

    let archive = folder.path().join("case.tar.gz");
    assert_eq!(fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o600);
    let files = files(&archive);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let expected = [
        "acts.jsonl",
        "alerts.jsonl",
        "case.json",
        "deliveries.jsonl",
        "key_events.jsonl",
        "keys.jsonl",
        "places.jsonl",
        "requests.jsonl",
        "requests_to_act.jsonl",
    ];
    assert_eq!(names, expected.map(|name| format!("case/{name}")));
    assert!(files["case/acts.jsonl"].contains("asking the owner"));
    assert!(files["case/keys.jsonl"].contains("ann@example.com"));
    assert!(!files.values().any(|text| text.contains("raw nonce")), "a nonce is a secret");

    // Without the server and its settings, and without databases of places.
    let replayed =
        run(None, folder.path(), &["backtest", "--case", "case.tar.gz", "--alerts", "a"]);
    let said = succeeded(&replayed);
    assert!(said.contains(&format!("{id}: found again, with all of its evidence")), "{said}");
    let again = fs::read_to_string(folder.path().join("a")).unwrap();
    let again: Alert = serde_json::from_str(again.lines().next().unwrap()).unwrap();
    assert_eq!((&again.id, &again.detectors), (&alert.id, &alert.detectors));
}

#[tokio::test]
async fn a_case_that_lacks_the_past_says_so() {
    let database = database().await;
    let folder = tempfile::tempdir().unwrap();
    let alerts = store_theft(&database, folder.path()).await;
    let id = alerts[0].id.as_str();
    let out = ["alerts", "export", id, "--out", "case.tar.gz", "--past", "0m"];
    succeeded(&run(Some(&database), folder.path(), &out));
    let replayed = run(None, folder.path(), &["backtest", "--case", "case.tar.gz"]);
    let said = String::from_utf8_lossy(&replayed.stderr);
    assert!(said.contains("they need more of the past"), "{said}");

    fs::write(folder.path().join("log.gz"), "no case").unwrap();
    let refused = run(None, folder.path(), &["backtest", "--case", "log.gz"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("log.gz is not a case"));
    let unknown = run(Some(&database), folder.path(), &["alerts", "export", "inc_0", "--out", "x"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("inc_0"), "{unknown:?}");
    assert!(!folder.path().join("x").exists());
}
