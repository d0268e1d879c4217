//! Tests `keywatch train` as a user runs it: from files, and from ClickHouse.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use keywatch::event::EventTime;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::clickhouse::database;
use crate::support::service;
use crate::support::settings::Settings;
use crate::support::traffic::Traffic;

const KEYS: u32 = 24;
const HOURS: u32 = 48;

/// Keys that are used every hour, each in its own way, and two that are finally attacked. One key
/// in five is of another kind: it fails often and its responses are large.
fn traffic() -> Traffic {
    traffic_in_order(|key| key)
}

/// The same traffic, where keys are first used in the order of `rank`.
fn traffic_in_order(rank: impl Fn(u32) -> u32) -> Traffic {
    let mut state = 11u64;
    let mut draw = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let begin = EventTime::now().plus_seconds(-f64::from(HOURS) * 3_600.0 - 600.0);
    let mut traffic = Traffic::attacks();
    for key in 0..KEYS {
        let (rate, routes) = (24 + u64::from(key % 5) * 4, 2 + u64::from(key % 4));
        let (failing, size) = if key % 5 == 4 { (2, 900_000) } else { (30, 900) };
        traffic.events.push(json!({
            "time": begin.plus_seconds(f64::from(rank(key)) - 3_600.0), "status": 200,
            "key_id": format!("key-{key}"), "request_id": format!("first-{key}"), "method": "GET",
            "client_ip": format!("192.0.2.{}", key * 4), "path": "/v1/things0",
        }));
        for hour in 0..HOURS {
            for n in 0..rate + draw(12) {
                let seconds = f64::from(hour) * 3_600.0 + draw(3_600_000_000) as f64 / 1e6;
                traffic.events.push(json!({
                    "time": begin.plus_seconds(seconds), "key_id": format!("key-{key}"),
                    "request_id": format!("{key}-{hour}-{n}"), "method": "GET",
                    "client_ip": format!("192.0.2.{}", u64::from(key) * 4 + draw(3)),
                    "path": format!("/v1/things{}", draw(routes)), "tenant": "acme",
                    "status": if draw(failing) == 0 { 404 } else { 200 },
                    "bytes_out": 500 + draw(size),
                }));
            }
        }
    }
    let time = |event: &Value| event["time"].as_str().map(str::to_owned);
    traffic.events.sort_by_cached_key(time);
    traffic
}

struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn keywatch(&self, arguments: &[&str]) -> Assert {
        let mut command = Command::cargo_bin("keywatch").unwrap();
        command.current_dir(self.0.path()).args(arguments).assert()
    }

    /// The card without the command line that trained the model.
    fn card(&self, name: &str) -> String {
        let card = self.read(name);
        card.lines().filter(|line| !line.starts_with("keywatch ")).collect::<Vec<_>>().join("\n")
    }

    fn card_figure(&self, name: &str, what: &str) -> u64 {
        let card = self.read(name);
        let row = card.lines().find(|line| line.starts_with(&format!("| {what}"))).unwrap();
        row.split('|').nth(2).unwrap().trim().parse().unwrap()
    }
}

#[tokio::test]
async fn the_store_and_the_files_that_it_was_filled_from_give_the_same_model() {
    let database = database().await;
    let (desk, traffic) = (Desk::new(), traffic());
    traffic.write(&desk.path("log.jsonl"));
    let log = desk.path("log.jsonl");
    let settings = Settings::new(&database.config).files(&[&log]);
    fs::write(desk.path("keywatch.toml"), settings.to_string()).unwrap();
    let ran = service::run(&settings, Stdio::null());
    assert!(ran.status.success(), "{}", service::last_line(&ran));

    for folder in ["of-files", "of-store"] {
        fs::create_dir(desk.path(folder)).unwrap();
    }
    desk.keywatch(&["train", "--clickhouse", "-c", "keywatch.toml", "--out", "of-store/mine"])
        .success();
    desk.keywatch(&["backtest", "--input", "log.jsonl", "--alerts", "alerts.jsonl"]).success();
    let train = ["train", "--input", "log.jsonl", "--alerts", "alerts.jsonl"];
    desk.keywatch(&[&train[..], &["--out", "of-files/mine"]].concat()).success();

    assert_eq!(desk.read("of-store/mine.json"), desk.read("of-files/mine.json"));
    assert_eq!(desk.card("of-store/mine.md"), desk.card("of-files/mine.md"));
    let figure = |what| desk.card_figure("of-store/mine.md", what);
    let (requests, attempts) = (figure("requests"), figure("attempts, which prove no use"));
    let answered = |event: &&Value| event["status"] == 200;
    assert_eq!(requests as usize, traffic.events.iter().filter(answered).count());
    assert_eq!((requests + attempts) as usize, traffic.events.len());
    check_report(&desk, requests + attempts);
    let alerted = desk.card_figure("of-store/mine.md", "left out for an incident of the key");
    assert!(alerted >= 1, "a request of one key was replayed");
}

/// Checks a report on the same store.
fn check_report(desk: &Desk, events: u64) {
    let report = |arguments: &[&str]| {
        let all = [&["report", "-c", "keywatch.toml"], arguments].concat();
        String::from_utf8(desk.keywatch(&all).success().get_output().stdout.clone()).unwrap()
    };
    let figures: Value = serde_json::from_str(&report(&["--json"])).unwrap();
    assert_eq!((figures["events"].as_u64(), figures["keys"].as_u64()), (Some(events), Some(26)));
    assert!(figures["incidents"].as_u64().unwrap() >= 1, "{figures:#}");
    let families: Vec<&str> = (figures["promises"].as_array().unwrap().iter())
        .map(|promise| promise["family"].as_str().unwrap())
        .collect();
    assert_eq!(families, ["rate", "outcome", "place", "replay", "behaviour", "joint"]);
    assert_eq!(figures["promises"][3]["incidents"], 1, "a replay: {figures:#}");
    let features = figures["features"].as_array().unwrap();
    let drifted = |feature: &&Value| feature["stability_index"].as_f64().unwrap() > 0.25;
    assert!(features.iter().any(|feature| drifted(&feature)), "not the shipped model's fleet");
    let text = report(&["--html", "report.html"]);
    let page = desk.read("report.html");
    assert!(page.contains("Drift of the features") && !page.contains("://"), "{page}");
    assert!(text.contains("train it again with `keywatch train --clickhouse`"), "{text}");

    let used = desk.read("keywatch.toml") + "[models]\npath = \"of-store/mine.json\"\n";
    fs::write(desk.path("keywatch.toml"), used).unwrap();
    let text = report(&[]);
    assert!(text.contains("like those that mine-"), "nothing drifts from itself: {text}");
    desk.keywatch(&["report", "--days", "0"]).code(2);
    let older: Value = serde_json::from_str(&report(&["--days", "0.001", "--json"])).unwrap();
    assert!(older["features"].as_array().unwrap().is_empty(), "{older:#}");
}

#[test]
fn a_model_that_is_worse_replaces_no_better_one() {
    let desk = Desk::new();
    // Keys of the other kind are either among those of the fit, or all among those held out.
    traffic_in_order(|key| (key + 1) % KEYS).write(&desk.path("all-kinds.jsonl"));
    traffic_in_order(|key| key).write(&desk.path("one-kind.jsonl"));
    desk.keywatch(&["train", "--input", "all-kinds.jsonl", "--out", "old"]).success();
    let old = desk.read("old.json");
    let train = ["train", "--input", "one-kind.jsonl", "--compare", "old.json", "--out", "old"];
    let refused = desk.keywatch(&train).code(1);
    let words = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    assert!(words.contains("is worse") && words.contains("Nothing was written"), "{words}");
    assert!(words.contains("mean log density"), "with the figures: {words}");
    assert_eq!(desk.read("old.json"), old);

    desk.keywatch(&[&train[..], &["--force"]].concat()).success();
    assert_ne!(desk.read("old.json"), old);
    let same = ["train", "--input", "one-kind.jsonl", "--compare", "old.json", "--out", "again"];
    desk.keywatch(&same).success();
    assert!(desk.read("again.md").contains("## Compared with the previous model"));
}

#[test]
fn the_same_history_and_seed_give_the_same_bytes() {
    let desk = Desk::new();
    traffic().write(&desk.path("log.jsonl.zst"));
    let mut outcomes = Vec::new();
    for _run in 0..2 {
        desk.keywatch(&["train", "--input", "log.jsonl.zst", "--seed", "3", "--out", "mine"])
            .success();
        outcomes.push((desk.read("mine.json"), desk.read("mine.md")));
    }
    assert_eq!(outcomes[0], outcomes[1]);
    desk.keywatch(&["train", "--input", "log.jsonl.zst", "--seed", "4", "--out", "mine"]).success();
    assert_ne!(outcomes[0].0, desk.read("mine.json"));
}
