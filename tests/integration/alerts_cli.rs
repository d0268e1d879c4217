//! Tests `keywatch alerts` as a process, against the real ClickHouse engine.

use keywatch::alert::{Action, Alert, AlertType, DetectorId, Severity};
use keywatch::event::EventTime;
use serde_json::Value;

use crate::clickhouse::acts::store_alerts;
use crate::clickhouse::samples::alert;
use crate::support::clickhouse::{TestDatabase, database, environment, lines};

struct Output {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Output {
    #[track_caller]
    fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    #[track_caller]
    fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        self.stderr
    }

    #[track_caller]
    fn json(self) -> Vec<Value> {
        self.succeeded().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn run(database: &TestDatabase, arguments: &[&str]) -> Output {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_keywatch"))
        .arg("alerts")
        .args(arguments)
        .envs(environment(&database.config))
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Output { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Three open incidents; `old` was last seen ten days ago.
async fn with_incidents() -> TestDatabase {
    let database = database().await;
    let now = EventTime::now();
    let critical = Alert { severity: Severity::Critical, ..alert("crit", 1, "key-c", now) };
    let asks = Alert { action: Action::Revoke, dry_run: false, ..critical };
    let alerts = [
        alert("one", 1, "key-a", now),
        alert("old", 1, "key-b", now.plus_seconds(-864_000.0)),
        asks,
    ];
    store_alerts(&database.store, 0, &alerts).await;
    database
}

fn states(database: &TestDatabase) -> Vec<String> {
    let listed = run(database, &["list", "--state", "any", "--json"]).json();
    let mut states: Vec<_> = listed
        .iter()
        .map(|it| format!("{} {}", it["id"].as_str().unwrap(), it["state"].as_str().unwrap()))
        .collect();
    states.sort();
    states
}

#[tokio::test]
async fn an_incident_is_handled_from_first_look_to_close_and_reopened() {
    let database = with_incidents().await;
    let done = run(&database, &["ack", "one", "--by", "alice", "-m", "asking the owner"]);
    assert_eq!(done.succeeded(), "one: acknowledged\n");
    let done = run(&database, &["assign", "one", "--to", "bob", "--by", "alice"]);
    assert_eq!(done.succeeded(), "one: assigned to bob\n");
    run(&database, &["comment", "one", "-m", "no answer\nyet", "--by", "bob"]).succeeded();
    let done = run(&database, &["dismiss", "one", "--reason", "false_travel", "--by", "bob"]);
    let done = done.succeeded();
    let said = "one: dismissed as false_travel; this covers revision 1 (high: \
                geo.impossible_travel, rate.spike); further evidence of the same kind is stored \
                and not sent until 2";
    assert!(done.starts_with(said), "{done}");

    let shown = &run(&database, &["show", "one", "--json"]).json()[0];
    assert_eq!(shown["state"], "closed");
    assert_eq!(shown["close_reason"], "false_travel");
    assert_eq!(shown["assignee"], "bob");
    let acts = shown["acts"].as_array().unwrap();
    let kinds: Vec<_> = acts.iter().map(|act| act["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["acknowledge", "assign", "comment", "dismiss"]);
    assert_eq!(acts[0]["who"], "alice");
    assert_eq!(acts[0]["text"], "asking the owner");
    assert_eq!(acts[3]["seen"]["revision"], 1);
    assert_eq!(shown["revisions"].as_array().unwrap().len(), 1);
    assert_eq!(states(&database), ["crit open", "old open", "one closed"]);

    let again = run(&database, &["confirm", "one", "--by", "carol"]).failed(1);
    assert!(again.contains("incident one was dismissed as false_travel by bob at 2"), "{again}");
    assert!(again.contains("`keywatch alerts reopen one` opens it again"), "{again}");
    assert_eq!(run(&database, &["reopen", "one"]).succeeded(), "one: reopened\n");
    let again = run(&database, &["reopen", "one"]).failed(1);
    assert!(again.contains("incident one is not closed"), "{again}");
    let done = run(&database, &["confirm", "one", "--reason", "misuse_by_owner"]).succeeded();
    assert!(done.starts_with("one: confirmed as misuse_by_owner"), "{done}");
    // Nothing is ever changed or taken away.
    assert_eq!(lines(&database.store, "SELECT count() FROM incident_acts").await, ["6"]);
}

#[tokio::test]
async fn closing_says_what_follows_for_a_critical_incident_and_its_revocation() {
    let database = with_incidents().await;
    let told = run(&database, &["dismiss", "crit", "--reason", "test"]).succeeded();
    assert!(
        told.contains("the same kind, critical or not, is stored and not sent until"),
        "{told}"
    );
    assert!(told.contains("a dismissal withdraws the proposal to revoke the key"), "{told}");
}

#[tokio::test]
async fn a_filter_acts_on_nothing_before_it_has_said_on_how_many() {
    let database = with_incidents().await;
    let refused = run(&database, &["ack", "--severity", "high"]).failed(2);
    assert!(
        refused.contains("2 incidents (2 high) would be acknowledged, and nothing was changed")
    );
    assert!(refused.contains("repeat the command with --yes"), "{refused}");
    assert_eq!(states(&database), ["crit open", "old open", "one open"]);
    let done = run(&database, &["ack", "--severity", "high", "--since", "2d", "--yes"]);
    assert_eq!(done.succeeded(), "1 incident: acknowledged\n");
    assert_eq!(states(&database), ["crit open", "old open", "one acknowledged"]);
    let told =
        run(&database, &["dismiss", "--key", "key-a", "--reason", "test", "--yes", "--json"]);
    let told = told.json();
    assert_eq!(
        (told.len(), &told[0]["id"], &told[0]["state"]),
        (1, &"one".into(), &"closed".into())
    );
    // A closing takes no evidence along that the filter does not name.
    let told = ["dismiss", "--detector", "rate.spike", "--reason", "false_deploy", "--yes"];
    assert!(run(&database, &told).failed(1).contains("no incident matches"));
    // A closed incident is only found when it is to be reopened, or asked for.
    let none = run(&database, &["ack", "--key", "key-a", "--yes"]).failed(1);
    assert!(none.contains("no incident matches"), "{none}");
    run(&database, &["reopen", "--key", "key-a", "--yes"]).succeeded();
    assert_eq!(states(&database), ["crit open", "old open", "one open"]);
}

#[tokio::test]
async fn in_bulk_a_critical_incident_is_told_one_by_one() {
    let database = with_incidents().await;
    let detectors = ["--detector", "rate.spike,geo.impossible_travel", "--reason", "test"];
    let ask = [&["dismiss"], &detectors[..]].concat();
    let asked = run(&database, &ask).failed(2);
    assert!(asked.contains("3 incidents (1 critical, 2 high) would be dismissed"), "{asked}");
    let told = run(&database, &[&ask[..], &["--yes"]].concat()).succeeded();
    assert!(
        told.starts_with("crit: dismissed as test; this covers revision 1 (critical"),
        "{told}"
    );
    assert!(told.ends_with("\n3 incidents: dismissed\n"), "{told}");
}

#[tokio::test]
async fn many_incidents_are_closed_at_once() {
    let database = database().await;
    let now = EventTime::now();
    let alerts: Vec<_> =
        (0..1_200).map(|n| alert(&format!("inc_{n}"), 1, &format!("key-{n}"), now)).collect();
    store_alerts(&database.store, 0, &alerts).await;
    let arguments = ["dismiss", "--since", "1h", "--reason", "false_deploy", "--yes"];
    assert_eq!(run(&database, &arguments).succeeded(), "1,200 incidents: dismissed\n");
    let listed = run(&database, &["list", "--state", "closed"]);
    assert!(listed.stderr.contains("50 of 1,200 incidents are shown"), "{}", listed.stderr);
    assert_eq!(listed.succeeded().lines().count(), 51);
}

#[tokio::test]
async fn mistakes_are_named_with_what_to_do() {
    let database = with_incidents().await;
    for (arguments, code, words) in [
        (&["ack", "nothing"][..], 1, "no alert has the id nothing; `keywatch alerts list"),
        (&["ack", "one", "nothing"], 1, "no alert has the id nothing"),
        (&["show", "nothing"], 1, "no alert has the id nothing"),
        (&["ack"], 2, "name incidents by their ids, or by a filter such as --key"),
        (&["ack", "one", "--key", "k"], 2, "give either ids or a filter"),
        (&["dismiss", "one"], 2, "--reason"),
        (&["dismiss", "one", "--reason", "theft"], 2, "use `keywatch alerts confirm`"),
        (&["dismiss", "one", "--reason", "x"], 2, "test, false_travel, false_deploy, false_other"),
        (&["confirm", "one", "--reason", "test"], 2, "use `keywatch alerts dismiss`"),
        (&["assign", "one", "--to", ""], 2, "--to: a name has 1 to 64 visible characters"),
        (&["ack", "one", "--by", "a\u{202e}b"], 2, "--by: a name has 1 to 64"),
        (&["comment", "one", "-m", " "], 2, "--message: a comment has 1 to 4000"),
        (&["list", "--severity", "bad"], 2, "severities are low, medium, high and critical"),
        (&["list", "--detector", "rate.spikes"], 2, "did you mean rate.spike?"),
        (&["list", "--since", "yesterday"], 2, "give a time"),
        (&["list", "--state", "done"], 2, "open, acknowledged, closed, any"),
    ] {
        let said = run(&database, arguments).failed(code);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    // Of ids of which one is unknown, none was acted on.
    assert_eq!(states(&database), ["crit open", "old open", "one open"]);
}

#[tokio::test]
async fn hostile_keys_and_comments_are_shown_visibly_and_harm_nothing() {
    let database = database().await;
    let key = "a\u{202e}b\u{200b}\n\t\u{1b}[2J'; DROP TABLE alerts --\\";
    store_alerts(&database.store, 0, &[alert("inc_h", 1, key, EventTime::now())]).await;
    let comment = "x\u{2066}'); DROP TABLE incident_acts; --\u{1b}]0;t\u{7}\\";
    let told = run(&database, &["ack", "--key", key, "-m", comment, "--yes", "--json"]).json();
    assert_eq!(told[0]["state"], "acknowledged");
    for arguments in
        [&["list"][..], &["list", "--json"], &["show", "inc_h"], &["show", "inc_h", "--json"]]
    {
        let shown = run(&database, arguments).succeeded();
        for hidden in ['\u{202e}', '\u{200b}', '\u{2066}', '\u{1b}', '\u{7}'] {
            assert!(!shown.contains(hidden), "{hidden:?} in {shown}");
        }
    }
    let listed = run(&database, &["list"]).succeeded();
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.contains("\ta⟨U+202E⟩b⟨U+200B⟩⟨U+000A⟩⟨U+0009⟩⟨U+001B⟩[2J"), "{listed}");
    let shown = run(&database, &["show", "inc_h", "--json"]).json();
    assert_eq!(shown[0]["acts"][0]["text"], comment);
    assert_eq!(shown[0]["revisions"][0]["key_id"], key);
}

#[tokio::test]
async fn evidence_that_the_closing_did_not_know_reopens_the_incident_in_the_list() {
    let database = with_incidents().await;
    run(&database, &["dismiss", "one", "--reason", "test"]).succeeded();
    let now = EventTime::now();
    let same = alert("one", 2, "key-a", now);
    store_alerts(&database.store, 1, std::slice::from_ref(&same)).await;
    assert_eq!(states(&database), ["crit open", "old open", "one closed"]);
    let mut new = Alert { alert_type: AlertType::Updated, revision: 3, ..same };
    new.detectors.push(DetectorId::DuplicateNonce);
    store_alerts(&database.store, 2, &[new]).await;
    assert_eq!(states(&database), ["crit open", "old open", "one open"]);
    // It can be closed again, with knowledge of the new evidence.
    run(&database, &["confirm", "one"]).succeeded();
    assert_eq!(states(&database), ["crit open", "old open", "one closed"]);
    let shown = &run(&database, &["show", "one", "--json"]).json()[0];
    assert_eq!(shown["close_reason"], "theft");
}
