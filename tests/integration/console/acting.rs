//! Acts of people on the page of an incident.

use keywatch::alert::{Action, Alert, AlertType, Severity};
use keywatch::event::EventTime;
use keywatch::workflow::Kind;

use super::access::{PASSWORD, users};
use super::{fixture, store_alerts};
use crate::clickhouse::acts::act;
use crate::clickhouse::samples::alert;
use crate::support::clickhouse::{TestDatabase, database, lines};
use crate::support::console::{Answer, Console};
use crate::support::eventually::{LIMIT, eventually};

const PAGE: &str = "/incidents/inc_1";

/// A person who has the page of the incident open.
struct Reader<'a> {
    console: &'a Console,
    cookie: String,
    page: Answer,
}

impl<'a> Reader<'a> {
    fn new(console: &'a Console, name: &str) -> Self {
        let cookie = console.login(name, PASSWORD);
        let page = console.get_as(&cookie, PAGE);
        assert_eq!(page.status, 200, "{}", page.body);
        Self { console, cookie, page }
    }

    /// Sends the form of the page as it was read.
    fn sends(&self, fields: &[(&str, &str)]) -> Answer {
        let (token, version) = (self.page.hidden("token"), self.page.hidden("version"));
        let own = [("token", token.as_str()), ("version", version.as_str())];
        self.console.submit(&format!("{PAGE}/act"), &self.cookie, &[&own, fields].concat())
    }

    /// Where a form led to.
    #[track_caller]
    fn follows(&self, answer: &Answer) -> Answer {
        assert_eq!(answer.status, 303, "{}", answer.body);
        let to = answer.headers.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
        self.console.get_as(&self.cookie, to.split('#').next().unwrap())
    }
}

async fn with_people() -> (TestDatabase, Console) {
    let database = database().await;
    for (name, role) in [("alice", "responder"), ("bob", "responder"), ("ada", "admin")] {
        users(&database, &["add", name, "--role", role]).unwrap();
    }
    let console = Console::start(&database.config);
    (database, console)
}

/// An incident of `key-a`, just detected, with evidence that can be suppressed.
pub fn with_evidence(id: &str) -> Alert {
    let (id, now) = (id.to_owned(), EventTime::now());
    Alert { id, key_id: Some("key-a".into()), detected_at: now, ..fixture("impossible_travel") }
}

async fn acts(database: &TestDatabase) -> Vec<String> {
    let sql = "SELECT kind, who, origin, reason, text FROM incident_acts ORDER BY time";
    lines(&database.store, sql).await
}

#[tokio::test]
async fn people_act_on_the_page_with_the_words_of_the_commands() {
    let (database, console) = with_people().await;
    store_alerts(&database.store, 0, &[alert("inc_1", 1, "key-a", EventTime::now())]).await;
    let alice = Reader::new(&console, "alice");
    let done = alice.sends(&[("kind", "acknowledge"), ("text", "asking <the> owner\u{202e}")]);
    let page = alice.follows(&done);
    assert!(page.body.contains("inc_1: acknowledged"), "{}", page.body);
    assert!(page.body.contains("asking &lt;the&gt; owner<span class=\"unseen\""), "{}", page.body);
    // A button that is pressed twice acts once.
    assert_eq!(
        alice.sends(&[("kind", "acknowledge"), ("text", "asking <the> owner\u{202e}")]).status,
        303
    );

    let alice = Reader::new(&console, "alice");
    assert!(!alice.page.body.contains("value=\"acknowledge\""), "it is acknowledged");
    let without = alice.sends(&[("kind", "dismiss"), ("dismiss_reason", ""), ("text", "kept")]);
    assert_eq!(without.status, 422);
    assert!(
        without.body.contains("Choose a reason.") && without.body.contains(">kept<"),
        "{}",
        without.body
    );
    let done = alice.sends(&[("kind", "dismiss"), ("dismiss_reason", "false_travel")]);
    let page = alice.follows(&done);
    assert!(
        page.body.contains("further evidence of the same kind is stored and not sent until"),
        "{}",
        page.body
    );
    assert!(page.body.contains("value=\"reopen\""), "{}", page.body);
    let stored = acts(&database).await;
    assert_eq!(stored.len(), 2, "{stored:?}");
    assert_eq!(stored[1], "dismiss alice console false_travel ");
}

#[tokio::test]
async fn a_page_that_another_person_has_overtaken_says_so_and_loses_no_comment() {
    let (database, console) = with_people().await;
    let first = alert("inc_1", 1, "key-a", EventTime::now());
    store_alerts(&database.store, 0, std::slice::from_ref(&first)).await;
    let (alice, bob) = (Reader::new(&console, "alice"), Reader::new(&console, "bob"));
    bob.sends(&[("kind", "dismiss"), ("dismiss_reason", "test"), ("text", "our scanner")]);
    let late =
        alice.sends(&[("kind", "confirm"), ("confirm_reason", "theft"), ("text", "she called")]);
    assert_eq!(late.status, 409);
    for words in [
        "Nothing was changed",
        "<bdi>bob</bdi></strong> <bdi>dismissed it as test",
        "our scanner",
        ">she called<",
    ] {
        assert!(late.body.contains(words), "no {words} in {}", late.body);
    }
    // The form that came back has what she knows now, and the comment goes with it.
    let (token, version) = (late.hidden("token"), late.hidden("version"));
    let form = [
        ("kind", "comment"),
        ("text", "she called"),
        ("token", token.as_str()),
        ("version", version.as_str()),
    ];
    assert_eq!(console.submit(&format!("{PAGE}/act"), &alice.cookie, &form).status, 303);
    let stored = acts(&database).await;
    assert_eq!(stored[1..], ["comment alice console  she called"], "{stored:?}");
}

#[tokio::test]
async fn a_closing_covers_the_evidence_that_the_page_showed() {
    let (database, console) = with_people().await;
    let first = alert("inc_1", 1, "key-a", EventTime::now());
    store_alerts(&database.store, 0, std::slice::from_ref(&first)).await;
    let alice = Reader::new(&console, "alice");
    let worse = Alert {
        revision: 2,
        alert_type: AlertType::Updated,
        severity: Severity::Critical,
        ..first
    };
    store_alerts(&database.store, 1, &[worse]).await;
    let page = alice.follows(&alice.sends(&[("kind", "dismiss"), ("dismiss_reason", "test")]));
    assert!(page.body.contains("New evidence has reopened this incident."), "{}", page.body);
    let seen =
        lines(&database.store, "SELECT seen_revision, seen_severity FROM incident_acts").await;
    assert_eq!(seen, ["1 high"]);
}

#[tokio::test]
async fn a_proposal_is_approved_by_whoever_knows_its_evidence() {
    let (database, console) = with_people().await;
    let first = alert("inc_1", 1, "key-a", EventTime::now());
    let asks = Alert { action: Action::Revoke, dry_run: false, ..first };
    store_alerts(&database.store, 0, std::slice::from_ref(&asks)).await;
    let alice = Reader::new(&console, "alice");
    assert!(alice.page.body.contains("Approve: revoke the key"), "{}", alice.page.body);
    let more = Alert { revision: 2, alert_type: AlertType::Updated, ..asks };
    store_alerts(&database.store, 1, &[more]).await;
    let blind = alice.sends(&[("kind", "approve")]);
    assert_eq!(blind.status, 409);
    assert!(blind.body.contains("There is new evidence."), "{}", blind.body);
    // Pages of the last second are not made again.
    eventually("the page shows the new evidence", LIMIT, async || {
        console.get_as(&alice.cookie, PAGE).hidden("version") == "2-"
    })
    .await;
    let alice = Reader::new(&console, "alice");
    let page = alice.follows(&alice.sends(&[("kind", "approve")]));
    assert!(
        page.body.contains("approved; the request to revoke the key is made when"),
        "{}",
        page.body
    );
    assert_eq!(acts(&database).await, ["approve alice console  "]);
}

#[tokio::test]
async fn a_suppression_shows_first_what_it_would_have_hidden() {
    let (database, console) = with_people().await;
    let critical = Alert { severity: Severity::Critical, ..with_evidence("inc_2") };
    store_alerts(&database.store, 0, &[with_evidence("inc_1"), critical]).await;
    let alice = Reader::new(&console, "alice");
    let address = format!("{PAGE}/suppress");
    let token = alice.page.hidden("token");
    let form = [("token", token.as_str()), ("days", "14"), ("note", "a new office")];
    let preview = console.submit(&address, &alice.cookie, &form);
    assert_eq!(preview.status, 200, "{}", preview.body);
    assert!(
        preview.body.contains("this would have hidden 1 incident, of them 0 critical"),
        "{}",
        preview.body
    );
    assert!(
        preview.body.contains("1 incident became critical, and would have been shown"),
        "{}",
        preview.body
    );
    assert_eq!(lines(&database.store, "SELECT count() FROM suppressions").await, ["0"]);
    let critical = [&form[..], &[("critical", "yes")]].concat();
    assert_eq!(console.submit(&address, &alice.cookie, &critical).status, 403, "for admins");
    let sure = preview.hidden("sure");
    let again = [&form[..], &[("sure", sure.as_str())]].concat();
    let page = alice.follows(&console.submit(&address, &alice.cookie, &again));
    assert!(page.body.contains("is suppressed until"), "{}", page.body);
    console.submit(&address, &alice.cookie, &again);
    let stored =
        lines(&database.store, "SELECT who, note, keys, hides_critical FROM suppressions").await;
    assert_eq!(stored, ["alice a new office ['key-a'] false"], "twice is once");
}

#[tokio::test]
async fn a_comment_on_a_closed_incident_is_kept() {
    let (database, console) = with_people().await;
    let first = alert("inc_1", 1, "key-a", EventTime::now());
    store_alerts(&database.store, 0, std::slice::from_ref(&first)).await;
    let alice = Reader::new(&console, "alice");
    database.store.record_acts(&[act("inc_1", "act_1", Kind::Confirm, &first)]).await.unwrap();
    assert_eq!(alice.sends(&[("kind", "comment"), ("text", "late")]).status, 303);
    assert_eq!(alice.sends(&[("kind", "comment"), ("text", " ")]).status, 422);
    assert_eq!(console.submit("/incidents/inc_0/act", &alice.cookie, &[]).status, 404);
}

#[tokio::test]
async fn chosen_incidents_of_the_list_are_acknowledged_at_once() {
    let (database, console) = with_people().await;
    let now = EventTime::now();
    let alerts = ["inc_1", "inc_2", "inc_3"].map(|id| alert(id, 1, "key-a", now));
    store_alerts(&database.store, 0, &alerts).await;
    let cookie = console.login("alice", PASSWORD);
    let list = console.get_as(&cookie, "/incidents");
    let token = list.hidden("token");
    database
        .store
        .record_acts(&[act("inc_2", "act_1", Kind::Acknowledge, &alerts[1])])
        .await
        .unwrap();
    let form =
        [("token", token.as_str()), ("id.inc_1", "on"), ("id.inc_2", "on"), ("id.inc_0", "on")];
    let done = console.submit("/incidents/acknowledge", &cookie, &form);
    assert_eq!(done.status, 200, "{}", done.body);
    assert!(done.body.contains("1 incident acknowledged."), "{}", done.body);
    assert!(
        done.body.contains("incident inc_2 was acknowledged by author of act_1"),
        "{}",
        done.body
    );
    assert_eq!(acts(&database).await.len(), 2);
    let foreign = [("token", "guessed"), ("id.inc_3", "on")];
    assert_eq!(console.submit("/incidents/acknowledge", &cookie, &foreign).status, 400);
    assert_eq!(console.submit("/incidents/acknowledge", &cookie, &form[..1]).status, 400);
    assert_eq!(acts(&database).await.len(), 2);
}
