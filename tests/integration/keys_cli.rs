//! Tests `keywatch keys` as a process, against the real ClickHouse engine.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use keywatch::event::EventTime;
use keywatch::registry::{FeedPosition, KeyChange, KeyEvent, KeyEventKind, RegisteredKey};
use keywatch::store::Author;
use serde_json::Value;

use crate::support::clickhouse::{TestDatabase, database, environment, keywatch_binary, lines};
use crate::support::settings::PEPPER;

pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    #[track_caller]
    pub fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    #[track_caller]
    pub fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        self.stderr
    }

    #[track_caller]
    pub fn json(self) -> Vec<Value> {
        self.succeeded().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Runs `keywatch keys` in a folder.
pub fn run(database: &TestDatabase, folder: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(keywatch_binary())
        .arg("keys")
        .args(arguments)
        .current_dir(folder)
        .envs(environment(&database.config))
        .env("KEYWATCH__DECODE__PEPPER", PEPPER)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Output { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

const CSV: &str = "\
key_id,owner,tenant,environment,class,tags,scopes,allowed_cidrs,expires_at,rotated_to,canary,api_key
ak_1,ann@example.com,acme,production,partner,pay eu,read;write,10.0.0.0/8,2099-01-01T00:00:00Z,ak_2,,sk_live_first
ak_2,ann@example.com,acme,production,partner,,read,,,,,
ak_3,bob@example.com,acme,staging,,,,10.0.0.0/99,,,,
ak_4,bob@example.com,acme,staging,,,,,soon,,,
ak_2,bob@example.com,acme,staging,,,,,,,,
ak_5,bob@example.com,acme,staging,,,,,,,yes,
";

#[tokio::test]
async fn a_file_goes_in_without_its_bad_rows_and_a_second_time_changes_nothing() {
    let database = database().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("keys.csv"), CSV).unwrap();
    let run = |arguments: &[&str]| run(&database, folder.path(), arguments);

    let dry = run(&["import", "keys.csv", "--dry-run"]);
    assert!(dry.stdout.contains("3 would be added"), "{}", dry.stdout);
    let said = dry.failed(1);
    assert!(said.contains("3 rows were refused; nothing was stored"), "{said}");
    assert_eq!(lines(&database.store, "SELECT count() FROM api_keys").await, ["0"]);

    let done = run(&["import", "keys.csv", "--by", "alice"]);
    assert_eq!(done.stdout, "keys.csv: 3 added, 0 changed, 0 unchanged, 3 refused\n");
    let said = done.failed(1);
    for refused in [
        "keys.csv:4: field `allowed_cidrs[0]`: ",
        "keys.csv:5: field `expires_at`: ",
        "keys.csv:6: line 3 registers the key ak_2 already",
        "3 rows were refused; the others are in",
    ] {
        assert!(said.contains(refused), "no {refused} in\n{said}");
    }
    let again = &run(&["import", "keys.csv", "--json"]);
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again["unchanged"], 3);
    assert_eq!(again["refused"][2]["line"], 6);
    assert_eq!(lines(&database.store, "SELECT count() FROM key_changes").await, ["1"]);
    // The raw key is nowhere.
    let rows = "SELECT count() FROM api_key_rows WHERE toString(tuple(*)) LIKE '%sk_live%'";
    assert_eq!(lines(&database.store, rows).await, ["0"]);
    let hashes = "SELECT key_id, length(key_hash) FROM api_keys WHERE key_hash != ''";
    assert_eq!(lines(&database.store, hashes).await, ["ak_1 64"]);

    let ids = |rows: Vec<Value>| -> Vec<String> {
        rows.iter().map(|row| row["key_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(run(&["list", "--json"]).json()), ["ak_1", "ak_2", "ak_5"]);
    assert_eq!(ids(run(&["list", "--json", "--tag", "eu"]).json()), ["ak_1"]);
    assert_eq!(ids(run(&["list", "--json", "--canary"]).json()), ["ak_5"]);
    assert_eq!(ids(run(&["list", "--json", "--key", "ak_2"]).json()), ["ak_2"]);
    let listed = run(&["list", "--limit", "1"]);
    assert_eq!(listed.stderr, "1 of 3 keys are shown; --limit shows more\n");
    assert!(listed.stdout.contains("ak_1\trotating\tann@example.com\tacme\tproduction\tpartner"));
}

#[tokio::test]
async fn an_event_changes_the_registration_and_stays_in_its_history() {
    let database = database().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("keys.jsonl"), "{\"key_id\":\"a\"}\n{\"key_id\":\"b\"}\n")
        .unwrap();
    let run = |arguments: &[&str]| run(&database, folder.path(), arguments);
    run(&["import", "keys.jsonl", "--by", "alice"]).succeeded();
    let said = run(&["event", "a", "rotated", "--to", "b", "--grace", "7d", "--by", "bob"]);
    assert_eq!(said.succeeded(), "a: rotated is recorded; its status is retired\n");
    run(&["event", "a", "answered", "-m", "a \u{202e}deploy", "--by", "bob"]).succeeded();
    let shown = &run(&["show", "a"]).json()[0];
    assert_eq!(shown["registration"]["lifecycle"], "rotating");
    assert_eq!(shown["registration"]["rotated_to"], "b");
    let kinds: Vec<_> = shown["events"].as_array().unwrap().iter().collect();
    let kinds: Vec<_> = kinds.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["issued", "rotated", "answered"]);
    assert_eq!(shown["events"][1]["recorded_by"], "bob");
    assert_eq!(run(&["show", "b"]).json()[0]["predecessors"][0], "a");

    let circle = run(&["event", "b", "rotated", "--to", "a"]).failed(1);
    assert!(circle.contains("b: field `rotated_to`: a is rotated back to b"), "{circle}");
    let unknown = run(&["event", "c", "revoked"]).failed(1);
    assert!(unknown.contains("c: the key is not registered; the event `issued`"), "{unknown}");
    let lonely = run(&["event", "a", "rotated"]).failed(2);
    assert!(lonely.contains("a rotation needs --to KEY"), "{lonely}");
    let none = run(&["show", "nobody"]).failed(1);
    assert!(none.contains("no key is registered or was used as nobody"), "{none}");
    run(&["event", "c", "issued"]).succeeded();
    run(&["event", "c", "revoked"]).succeeded();
    assert_eq!(run(&["show", "c"]).json()[0]["registration"]["lifecycle"], "revoked");
}

#[tokio::test]
async fn of_two_changes_in_the_knowledge_of_the_same_registry_one_is_stored() {
    let database = database().await;
    let (one, other) = (&database.store, keywatch::store::Store::new(&database.config));
    let change = |owner: &str| {
        let key_id = "k".into();
        let event = KeyEvent::new("k".into(), KeyEventKind::Changed, EventTime::now());
        let key = RegisteredKey { key_id, owner: owner.into(), ..RegisteredKey::default() };
        KeyChange { keys: vec![key], events: vec![event] }
    };
    let author = Author { who: "x", origin: "command_line" };
    let (a, b) = (change("a"), change("b"));
    let (first, second) =
        tokio::join!(one.change_keys(&a, author, 0), other.change_keys(&b, author, 0));
    let numbers = [first.unwrap(), second.unwrap()];
    assert_eq!(numbers.iter().flatten().count(), 1, "{numbers:?}");
    let owner = if numbers[0].is_some() { "a" } else { "b" };
    let news = one.key_news(0).await.unwrap();
    assert_eq!((news.number, news.keys.len(), &*news.keys[0].owner), (1, 1, owner));
    assert_eq!(one.change_keys(&change("c"), author, 1).await.unwrap(), Some(2));
    let news = one.key_news(1).await.unwrap();
    assert_eq!((news.number, &*news.keys[0].owner), (2, "c"));
    assert!(one.key_news(2).await.unwrap().keys.is_empty());
    let (number, known) = one.registration("k").await.unwrap();
    assert_eq!((number, &*known.unwrap().owner), (2, "c"));
    let rows = "SELECT (SELECT count() FROM api_key_rows), (SELECT count() FROM key_event_rows)";
    let before = lines(one, rows).await;
    assert_eq!(one.change_keys(&change("d"), author, 1).await.unwrap(), None);
    assert_eq!(lines(one, rows).await, before, "a change that comes too late leaves no rows");
}

#[tokio::test]
async fn records_that_change_nothing_take_no_number_and_are_stored_as_read() {
    let database = database().await;
    let store = &database.store;
    let author = Author { who: "keys", origin: "topic" };
    let position =
        FeedPosition { topic: "keys".into(), topic_id: "id".into(), partition: 0, last_offset: 9 };
    let nothing = KeyChange::default();
    let stored = store.change_keys_of_feed(&nothing, &position, author, 0).await.unwrap();
    assert_eq!((stored, store.latest_key_change().await.unwrap()), (Some(0), 0));
    assert_eq!(store.feed_offset(&position, 0).await.unwrap(), Some(9));
}

/// Lines with a pipe need programs that are not here.
#[tokio::test]
async fn every_command_that_the_document_shows_works() {
    let database = database().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("keys.csv"), "key_id\nak_123\nak_124\n").unwrap();
    let document = include_str!("../../docs/KEYS.md");
    let commands: Vec<&str> =
        document.lines().filter_map(|line| line.strip_prefix("keywatch keys ")).collect();
    assert!(commands.len() > 8, "{commands:?}");
    for command in commands {
        let command = command.split(" #").next().unwrap();
        let words: Vec<String> = command
            .split('\'')
            .enumerate()
            .flat_map(|(place, part)| match place % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect(),
                _ => vec![part.to_owned()],
            })
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = run(&database, folder.path(), &words);
        assert_eq!(output.code, Some(0), "{command}\n{}{}", output.stdout, output.stderr);
    }
}
