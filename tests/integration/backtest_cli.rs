//! Tests `keywatch backtest` as a user runs it: files in, files out, no server.

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use keywatch::event::EventTime;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::traffic::{BAD_IN_ONE_RECORD, REPLAYED_KEY, SECRET_WORD, Traffic, undecodable};

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

    /// Runs in the folder, with alerts and both reports written to `alerts.jsonl`,
    /// `report.json` and `report.html`.
    fn backtest(&self, arguments: &[&str]) -> Assert {
        let outputs = ["--alerts", "alerts.jsonl", "--report", "report.json", "--report"];
        Command::cargo_bin("keywatch")
            .unwrap()
            .current_dir(self.folder.path())
            .arg("backtest")
            .args(outputs)
            .args(["report.html", "--input"])
            .args(arguments)
            .assert()
    }

    fn page(&self) -> String {
        self.read("report.html")
    }

    fn write_lines(&self, name: &str, events: &[Value]) {
        let lines: Vec<String> = events.iter().map(Value::to_string).collect();
        self.write(name, lines.join("\n"));
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
            bytes.push((desk.read("alerts.jsonl"), desk.read("report.json"), desk.page()));
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
    assert_eq!(report["worst_attacks"][0]["kind"], "nonce_replay");
    let page = desk.page();
    assert!(page.contains("1 of 1 attacks found") && page.contains("nonce_replay"), "{page}");
    assert!(!page.contains("://") && !page.contains("<script"), "the page stands alone");
    assert!(!page.contains(SECRET_WORD));
}

#[test]
fn an_empty_file_is_an_error_with_a_report_of_zeros() {
    let desk = Desk::new();
    desk.write("empty.jsonl", "");
    let assert = desk.backtest(&["empty.jsonl"]).code(1);
    assert!(message(&assert).contains("keywatch: nothing was read: the log is empty"));
    assert_eq!(desk.read("alerts.jsonl"), "");
    assert_eq!(desk.report()["volume"]["events"], 0);
    assert_eq!(desk.report()["first_event_time"], Value::Null);
    assert!(desk.page().contains("The log holds no events."));
}

#[test]
fn a_log_given_twice_or_under_two_names_is_counted_once() {
    let desk = Desk::new();
    let traffic = Traffic::attacks();
    traffic.write(&desk.path("a.jsonl"));
    traffic.write(&desk.path("copy.jsonl"));
    let label = json!({
        "key_id": REPLAYED_KEY, "kind": "replay", "start": traffic.events[0]["time"],
        "end": traffic.events.last().unwrap()["time"],
    });
    desk.write("labels.jsonl", label.to_string());
    let run = |inputs: &[&str]| {
        desk.backtest(&[inputs, &["--labels", "labels.jsonl"]].concat()).success();
        let mut report = desk.report();
        let redelivered = report["volume"]["redelivered"].take();
        (desk.alerts(), report, redelivered.as_u64().unwrap() as usize)
    };
    let (alerts, report, redelivered) = run(&["a.jsonl"]);
    assert!(!alerts.is_empty());
    assert_eq!(redelivered, 0);
    for inputs in [["a.jsonl", "a.jsonl"], ["a.jsonl", "copy.jsonl"]] {
        let again = run(&inputs);
        assert_eq!((&again.0, &again.1), (&alerts, &report), "{inputs:?}");
        assert_eq!(again.2, traffic.events.len());
    }
}

#[test]
fn one_clock_in_the_year_2100_stretches_no_figure() {
    let desk = Desk::new();
    let mut events = Traffic::attacks().events;
    desk.write_lines("right.jsonl", &events);
    let middle = events.len() / 2;
    events[middle]["time"] = json!("2100-01-01T00:00:00Z");
    desk.write_lines("wrong.jsonl", &events);
    let run = |name| {
        desk.backtest(&[name]).success();
        let report = desk.report();
        (
            report["last_event_time"].clone(),
            report["volume"]["days"].clone(),
            report["incidents"].clone(),
        )
    };
    assert_eq!(run("right.jsonl"), run("wrong.jsonl"));
}

#[test]
fn a_key_with_one_event_makes_no_figure_infinite() {
    let desk = Desk::new();
    desk.write_lines("one.jsonl", &Traffic::attacks().events[..1]);
    desk.backtest(&["one.jsonl"]).success();
    assert_eq!(desk.report()["volume"]["keys"], 1);
    assert_eq!(desk.report()["at_severity"][0]["false_alerts_per_1000_key_days"], 0.0);
}

#[test]
fn a_nonce_of_ten_kilobytes_is_a_nonce_like_any_other() {
    let desk = Desk::new();
    let mut events = Traffic::attacks().events;
    let long = |event: &Value| json!(event["nonce"].as_str().unwrap().repeat(300));
    for event in &mut events {
        event["nonce"] = long(event);
    }
    desk.write_lines("long.jsonl", &events);
    desk.backtest(&["long.jsonl"]).success();
    assert_eq!(desk.report()["volume"]["rejections"], 0);
    let about_replay = |alert: &Value| alert["detectors"].to_string().contains("duplicate_nonce");
    assert!(desk.alerts().iter().any(about_replay));
    assert!(!desk.read("alerts.jsonl").contains(SECRET_WORD));
}

#[test]
fn garbage_is_counted_and_shown_by_line_without_secrets() {
    let desk = Desk::new();
    let garbage = undecodable();
    desk.write("garbage.jsonl", garbage.join(&b'\n'));
    let assert = desk.backtest(&["garbage.jsonl"]).success();
    let report = desk.report();
    // A backtest has no wall clock, so no time lies in the future: the record of the year 2100 is
    // an event.
    assert_eq!(report["volume"]["events"], 1);
    assert_eq!(report["volume"]["rejections"], garbage.len() - 2 + BAD_IN_ONE_RECORD);
    assert!(message(&assert).contains("garbage.jsonl:1: "), "{}", message(&assert));
    assert!(!message(&assert).contains(SECRET_WORD));
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
    desk.write("keys.csv", "key_id,allowed_cidrs\nk,10.0.0.0/8\nk,10/8\n");
    let cases: [(i32, &str, &[&str]); 9] = [
        (2, "must end in .html", &["log.jsonl", "--report", "report.pdf"]),
        (2, "must end in .html", &["log.jsonl", "--report", "report"]),
        (2, "keys.csv:3: field `allowed_cidrs[0]`", &["log.jsonl", "--keys", "keys.csv"]),
        (2, "labels.jsonl:2: ", &["log.jsonl", "--labels", "labels.jsonl"]),
        (2, "none.jsonl: ", &["log.jsonl", "--labels", "none.jsonl"]),
        (1, "none.jsonl: ", &["log.jsonl", "none.jsonl"]),
        (1, "the gzip stream is damaged or cut short", &["cut.jsonl.gz"]),
        (2, "none.mmdb", &["log.jsonl", "--geo-city", "none.mmdb"]),
        (2, "none.toml", &["log.jsonl", "-c", "none.toml"]),
    ];
    for (code, expected, arguments) in cases {
        let assert = desk.backtest(arguments).code(code);
        let message = message(&assert);
        assert!(message.starts_with("keywatch: ") && message.contains(expected), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn a_log_is_not_overwritten_by_its_own_alerts() {
    let desk = Desk::new();
    desk.write("alerts.jsonl", "{}\n");
    desk.backtest(&["alerts.jsonl"]).code(2);
    assert_eq!(desk.read("alerts.jsonl"), "{}\n");
}

/// A key that is bound to its network is replayed from elsewhere, and then both sides keep using
/// it.
fn replayed_and_used_on(desk: &Desk) {
    let mut traffic = Traffic::generated(30, 4.0, 1.0, 33).with_attacks();
    let of_key = |event: &&Value| event["key_id"] == REPLAYED_KEY;
    let owner = traffic.events.iter().find(of_key).unwrap().clone();
    let thief = traffic.events.iter().rev().find(of_key).unwrap().clone();
    assert_ne!(owner["client_ip"], thief["client_ip"]);
    let registered = json!({
        "key_id": REPLAYED_KEY,
        "allowed_cidrs": [format!("{}/32", owner["client_ip"].as_str().unwrap())],
    });
    desk.write("keys.jsonl", registered.to_string());
    for n in 0..7 {
        let mut event = if n < 5 { owner.clone() } else { thief.clone() };
        event["time"] = json!(EventTime::now().plus_seconds(f64::from(n) - 120.0));
        event["client_time"] = event["time"].clone();
        event["nonce"] = json!(format!("afterwards {n}"));
        event["request_id"] = json!(format!("afterwards-{n}"));
        event["status"] = json!(200);
        traffic.events.push(event);
    }
    traffic.write(&desk.path("log.jsonl"));
}

#[test]
fn a_difference_names_the_keys_that_one_policy_revokes_and_the_traffic_it_breaks() {
    let desk = Desk::new();
    replayed_and_used_on(&desk);
    desk.write("a.toml", format!("[policy]\nexempt_keys = [\"{REPLAYED_KEY}\"]\n"));
    desk.write("b.toml", "[policy]\nversion = \"next\"\n");
    let files = ["diff", "--keys", "keys.jsonl", "--policy", "a.toml", "--policy", "b.toml"];
    let diff = |more: &[&str]| {
        let mut command = Command::cargo_bin("keywatch").unwrap();
        command.current_dir(desk.folder.path()).args(files).args(["--input", "log.jsonl"]);
        command.args(more).assert().success()
    };
    let reports = ["--report", "diff.html", "--report", "diff.json"];
    let table = String::from_utf8(diff(&reports).get_output().stdout.clone()).unwrap();
    assert!(table.starts_with("B revokes 1 key that A does not."), "{table}");
    assert!(table.contains("replay.duplicate_nonce") && table.contains(REPLAYED_KEY), "{table}");

    let found: Value = serde_json::from_str(&desk.read("diff.json")).unwrap();
    assert_eq!(found["policies"][1]["version"], "next");
    let key = &found["revoked"][0];
    assert_eq!((&key["key_id"], &key["by"][0]), (&json!(REPLAYED_KEY), &Value::Null));
    assert_eq!(key["by"][1]["lost"], json!({"owner": 5, "others": 2}), "{key:#}");
    let page = desk.read("diff.html");
    assert!(page.contains("revoked by B") && !page.contains("://"), "{page}");
    let printed = diff(&["--json"]).get_output().stdout.clone();
    assert_eq!(String::from_utf8(printed).unwrap(), desk.read("diff.json"), "the same each time");
}

#[test]
fn a_difference_takes_two_policies() {
    let desk = Desk::new();
    desk.write("log.jsonl", "");
    desk.write("a.toml", "");
    let mut command = Command::cargo_bin("keywatch").unwrap();
    command.current_dir(desk.folder.path());
    let assert = command.args(["diff", "--input", "log.jsonl", "--policy", "a.toml"]).assert();
    let message = message(&assert.code(2));
    assert!(message.contains("--policy: give exactly two configurations"), "{message}");
}

#[test]
fn a_difference_reads_no_pipe_and_finds_none_in_an_empty_log() {
    let desk = Desk::new();
    desk.write("log.jsonl", "");
    desk.write("a.toml", "");
    let diff = |input: &str| {
        let mut command = Command::cargo_bin("keywatch").unwrap();
        let policies = ["--policy", "a.toml", "--policy", "a.toml"];
        command.current_dir(desk.folder.path()).args(["diff", "--input", input]).args(policies);
        command.write_stdin("{}").assert()
    };
    let message = message(&diff("/dev/stdin").code(2));
    assert!(message.contains("--input /dev/stdin: the log is read twice"), "{message}");
    let table = String::from_utf8(diff("log.jsonl").success().get_output().stdout.clone()).unwrap();
    assert!(table.starts_with("neither revokes a key."), "{table}");
}

/// A thief on the key's own machines, with its routes and its rate.
#[test]
fn strange_hours_add_attacks_that_no_single_sign_shows() {
    let desk = Desk::new();
    let generate = "generate --keys 60 --hours 60 --seed 6 --attacks mimicry --out log.jsonl --labels \
        labels.jsonl --keys-out keys.jsonl";
    let mut command = Command::cargo_bin("keywatch").unwrap();
    command.current_dir(desk.folder.path()).args(generate.split_whitespace()).assert().success();
    desk.write("off.toml", "[models]\njudge_behaviour = false\n");
    let arguments = ["log.jsonl", "--labels", "labels.jsonl", "--keys", "keys.jsonl"];

    desk.backtest(&[&arguments[..], &["-c", "off.toml"]].concat()).success();
    let without = at_medium(&desk.report());
    desk.backtest(&arguments).success();
    let with = at_medium(&desk.report());
    assert_eq!(with["labels"], 9);
    let found = |row: &Value| row["found"].as_u64().unwrap();
    assert!(found(&without) <= 1 && found(&with) >= 5, "{without} {with}");
    let alerts = desk.alerts();
    let by_behaviour = alerts.iter().filter(|alert| alert["detectors"][0] == "behaviour.outlier");
    let told: Vec<_> = by_behaviour.map(|alert| alert["explanation"].as_str().unwrap()).collect();
    assert!(told.iter().all(|text| text.contains("unlike its own past")), "{told:?}");
    let outlier = desk.report()["detectors"].as_array().unwrap().clone();
    let outlier = outlier.iter().find(|row| row["detector"] == "behaviour.outlier").unwrap();
    assert_eq!(outlier["false_incidents"], 0, "{outlier}");
}

fn at_medium(report: &Value) -> Value {
    let rows = report["at_severity"].as_array().unwrap();
    rows.iter().find(|row| row["severity"] == "medium").unwrap().clone()
}

#[test]
fn two_files_of_rules_are_compared_on_alerts_that_were_made() {
    let desk = Desk::new();
    let alert = |id: &str, tenant: &str| {
        let text = include_str!("../fixtures/alerts/revocation_requested.json");
        let mut alert: Value = serde_json::from_str(text).unwrap();
        alert["id"] = id.into();
        alert["type"] = "alert.opened".into();
        alert["tenant"] = tenant.into();
        alert.to_string() + "\n"
    };
    desk.write("alerts.jsonl", alert("inc_1", "bank") + &alert("inc_2", "shop"));
    desk.write("now.toml", "[[rule]]\nname = \"all\"\n");
    let next = "[[rule]]\nname = \"bank\"\nmatch.tenants = [\"bank\"]\naction = \"notify\"\n\
                channels = [\"pager\"]\n";
    desk.write("next.toml", next);
    let diff = |more: &[&str]| {
        let mut command = Command::cargo_bin("keywatch").unwrap();
        command.current_dir(desk.folder.path()).args(["diff", "--alerts", "alerts.jsonl"]);
        command.args(["--policy", "now.toml", "--policy", "next.toml"]).args(more).assert()
    };
    let table = String::from_utf8(diff(&[]).success().get_output().stdout.clone()).unwrap();
    assert!(table.starts_with("2 incidents judged again; 1 treated differently."), "{table}");
    assert!(table.contains("revoke -> notify") && table.contains("all -> pager"), "{table}");
    assert!(!table.contains("inc_2"), "{table}");
    let json = diff(&["--json"]).success().get_output().stdout.clone();
    let found: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(found["policies"][0]["revocations"], 2);
    assert_eq!(found["policies"][1]["revocations"], 1);
    assert_eq!(found["changed"][0]["outcomes"][1]["rule"], "bank");
    for of_logs in ["--input", "--report", "--labels", "--keys", "--format"] {
        let both = diff(&[of_logs, "alerts.jsonl"]).code(2);
        assert!(message(&both).contains("cannot be used with"), "{}", message(&both));
    }
}
