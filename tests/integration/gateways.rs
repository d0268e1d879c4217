//! Tests the way from every gateway's log to an alert: a key of the log is used from an address
//! that its registration does not allow, in a line of the gateway's own form.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::{Value, json};

use crate::support::settings::PEPPER;

/// The address of the thief.
const ELSEWHERE: &str = "203.0.113.77";

/// A log of a gateway, and the events in it, as people wrote them down.
struct Gateway {
    log: PathBuf,
    events: Vec<Value>,
}

fn gateways() -> Vec<Gateway> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/logs");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let logs = files.filter(|path| !path.to_str().unwrap().ends_with(".expected.jsonl"));
    let gateway = |log: PathBuf| {
        let events = fs::read_to_string(log.with_extension("expected.jsonl")).unwrap();
        let events = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Gateway { log, events }
    };
    let mut gateways: Vec<Gateway> = logs.map(gateway).collect();
    gateways.sort_by(|one, other| one.log.cmp(&other.log));
    gateways
}

impl Gateway {
    /// An event that proves the use of its key, and whose address stands in the log.
    fn victim(&self, text: &str) -> &Value {
        let is_proven = |event: &&Value| {
            let is_answered = event["status"].as_u64().is_some_and(|it| (200..400).contains(&it));
            event["authenticated"].as_bool().unwrap_or(is_answered)
        };
        let stands = |event: &&Value| {
            event["client_ip"].as_str().is_some_and(|ip| text.contains(ip) && ip.len() >= 7)
        };
        let mut events = self.events.iter();
        events.find(|event| is_proven(event) && stands(event)).unwrap_or_else(|| {
            panic!("{}: no event proves a use", self.log.display());
        })
    }
}

/// The log with the victim's requests from elsewhere, as new requests.
fn theft(text: &str, victim: &Value) -> String {
    let stolen = text.replace(victim["client_ip"].as_str().unwrap(), ELSEWHERE);
    match victim["request_id"].as_str() {
        Some(id) => {
            let last = if id.ends_with('0') { '1' } else { '0' };
            stolen.replace(id, &format!("{}{last}", &id[..id.len() - 1]))
        }
        None => stolen,
    }
}

/// The key may be used from all addresses of the log.
fn registration(victim: &Value, events: &[Value]) -> Value {
    let addresses = events.iter().filter_map(|event| event["client_ip"].as_str());
    let network = |ip: &str| format!("{ip}/{}", if ip.contains(':') { 128 } else { 32 });
    let mut key = json!({ "allowed_cidrs": addresses.map(network).collect::<Vec<_>>() });
    match victim.get("raw_key") {
        Some(raw) => key["api_key"] = raw.clone(),
        None => key["key_id"] = victim["key_id"].clone(),
    }
    key
}

/// Alerts of a backtest without a format.
fn alerts(folder: &Path, logs: &[&Path]) -> Vec<Value> {
    let mut command = Command::cargo_bin("keywatch").unwrap();
    command.current_dir(folder).arg("backtest").arg("--input").args(logs);
    command.args(["--keys", "keys.jsonl", "--alerts", "alerts.jsonl"]);
    command.env("KEYWATCH__DECODE__PEPPER", PEPPER).assert().success();
    let alerts = fs::read_to_string(folder.join("alerts.jsonl")).unwrap();
    let alerts = alerts.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let detectors = |alert: &Value| alert["detectors"].as_array().cloned().unwrap_or_default();
    alerts.filter(|alert| detectors(alert).contains(&"policy.ip_not_allowed".into())).collect()
}

#[test]
fn every_gateway_s_log_leads_to_an_alert_when_a_key_is_used_from_elsewhere() {
    let gateways = gateways();
    assert!(gateways.len() >= 15);
    for gateway in gateways {
        let folder = tempfile::tempdir().unwrap();
        let name = gateway.log.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&gateway.log).unwrap();
        let victim = gateway.victim(&text);
        fs::write(
            folder.path().join("keys.jsonl"),
            registration(victim, &gateway.events).to_string(),
        )
        .unwrap();
        let stolen = folder.path().join(name);
        fs::write(&stolen, theft(&text, victim)).unwrap();

        assert_eq!(alerts(folder.path(), &[&gateway.log]), [] as [Value; 0], "{name}");
        let alerts = alerts(folder.path(), &[&gateway.log, &stolen]);
        let alert = alerts.first().unwrap_or_else(|| panic!("{name}: no alert of {victim}"));
        if victim.get("raw_key").is_none() {
            assert_eq!(alert["key_id"], victim["key_id"], "{name}");
        }
        assert!(alert.to_string().contains(ELSEWHERE), "{name}: {alert}");
    }
}
