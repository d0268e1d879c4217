//! `keywatch backtest` as a person runs it: files in, files out, no server.

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::traffic::{REPLAYED_KEY, Traffic, undecodable};

struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs in the folder, with alerts and report written to `alerts.jsonl` and `report.json`.
    fn backtest(&self, arguments: &[&str]) -> Assert {
        Command::cargo_bin("keywatch")
            .unwrap()
            .current_dir(self.folder.path())
            .args(["backtest", "--alerts", "alerts.jsonl", "--report", "report.json", "--input"])
            .args(arguments)
            .assert()
    }

    fn alerts(&self) -> Vec<Value> {
        self.read("alerts.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn report(&self) -> Value {
        serde_json::from_str(&self.read("report.json")).unwrap()
    }
}

fn message(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

#[test]
fn plain_and_compressed_files_give_the_same_alerts_and_figures_each_time() {
    let desk = Desk::new();
    let traffic = Traffic::generated(60, 6.0, 1.0, 31).with_attacks();
    let first = &traffic.events[traffic.events.len() - 1];
    let label = json!({
        "key_id": REPLAYED_KEY, "kind": "nonce_replay", "start": first["time"],
        "end": first["time"], "detectors": ["replay.duplicate_nonce"],
    });
    desk.write("labels.jsonl", label.to_string());
    let mut outcomes = Vec::new();
    for name in ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"] {
        traffic.write(&desk.path(name));
        let mut bytes = Vec::new();
        for _run in 0..2 {
            desk.backtest(&[name, "--labels", "labels.jsonl"]).success();
            bytes.push((desk.read("alerts.jsonl"), desk.read("report.json")));
        }
        assert_eq!(bytes[0], bytes[1], "{name}");
        let mut alerts = desk.alerts();
        for alert in &mut alerts {
            assert_eq!(alert["position"]["topic"], name);
            alert["position"]["topic"] = Value::Null;
        }
        outcomes.push((alerts, desk.report()));
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(outcomes[0], outcomes[2]);

    let (alerts, report) = &outcomes[0];
    let found = alerts.iter().any(|alert| {
        alert["key_id"] == REPLAYED_KEY
            && alert["detectors"].as_array().unwrap().contains(&json!("replay.duplicate_nonce"))
    });
    assert!(found, "{alerts:#?}");
    assert_eq!(report["volume"]["events"], traffic.events.len());
    assert_eq!(report["at_severity"][0]["found"], 1, "{report:#}");
}

#[test]
fn an_empty_file_gives_no_alerts_and_zeros() {
    let desk = Desk::new();
    desk.write("empty.jsonl", "");
    desk.backtest(&["empty.jsonl"]).success();
    assert_eq!(desk.read("alerts.jsonl"), "");
    assert_eq!(desk.report()["volume"]["events"], 0);
    assert_eq!(desk.report()["first_event_time"], Value::Null);
}

#[test]
fn garbage_is_counted_and_shown_by_line_without_secrets() {
    let desk = Desk::new();
    let garbage = undecodable();
    desk.write("garbage.jsonl", garbage.join(&b'\n'));
    let assert = desk.backtest(&["garbage.jsonl"]).success();
    let report = desk.report();
    // Without a wall clock no time is in the future: the record of the year 2100 is an event.
    assert_eq!(report["volume"]["events"], 1);
    assert_eq!(report["volume"]["rejections"], garbage.len() - 1);
    assert!(message(&assert).contains("garbage.jsonl:1: "), "{}", message(&assert));
    assert!(!message(&assert).contains(crate::support::traffic::SECRET_WORD));
}

#[test]
fn what_cannot_be_read_is_named_with_its_place() {
    let desk = Desk::new();
    desk.write("log.jsonl", "");
    let label =
        r#"{"key_id":"k","kind":"x","start":"2026-01-01T00:00:00Z","end":"2026-01-01T00:00:00Z"}"#;
    desk.write("labels.jsonl", format!("{label}\n{{\"kind\": 7}}\n"));
    Traffic::attacks().write(&desk.path("cut.jsonl.gz"));
    let whole = fs::read(desk.path("cut.jsonl.gz")).unwrap();
    desk.write("cut.jsonl.gz", &whole[..whole.len() / 2]);
    let cases: [(i32, &str, &[&str]); 6] = [
        (2, "labels.jsonl:2: ", &["log.jsonl", "--labels", "labels.jsonl"]),
        (2, "none.jsonl: ", &["log.jsonl", "--labels", "none.jsonl"]),
        (1, "none.jsonl: ", &["log.jsonl", "none.jsonl"]),
        (1, "the gzip stream is damaged or cut short", &["cut.jsonl.gz"]),
        (1, "none.mmdb", &["log.jsonl", "--geo-city", "none.mmdb"]),
        (2, "none.toml", &["log.jsonl", "-c", "none.toml"]),
    ];
    for (code, expected, arguments) in cases {
        let assert = desk.backtest(arguments).code(code);
        let message = message(&assert);
        assert!(message.starts_with("keywatch: ") && message.contains(expected), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}
