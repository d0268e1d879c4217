//! Tests that the registered owner of a key is asked "Was it you?", and that the answer is kept,
//! shown, and decides nothing.

use std::fs;

use keywatch::alert::{Action, Alert, Guidance, Restraint, Severity};
use keywatch::event::EventTime;
use keywatch::workflow::{Act, Kind, Origin};
use serde_json::Value;

use crate::clickhouse::acts::act;
use crate::clickhouse::samples::{alert, batch, event, partition};
use crate::console::access::{PASSWORD, users};
use crate::keys_cli;
use crate::response::{self, alerts, leave, proposal, wait_until_told};
use crate::support::clickhouse::{TestDatabase, database, lines};
use crate::support::console::{Answer, Console};
use crate::support::eventually::{LIMIT, eventually};
use crate::support::mailbox::{Mail, Mailbox};
use crate::support::receiver::{self, Receiver};
use crate::support::settings::Settings;

const LINK_SECRET: &str = "0123456789abcdef0123456789abcdef";
const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const CONSOLE: &str = "https://keywatch.example.com";
const OWNER: &str = "payments@example.com";

fn settings(database: &TestDatabase) -> Settings {
    Settings::new(&database.config).set("console.url", CONSOLE).set("owner.secret", LINK_SECRET)
}

fn by_mail(database: &TestDatabase, mailbox: &Mailbox) -> Settings {
    settings(database).mail_to(mailbox, "security@example.com")
}

/// An incident about which a rule has the owner asked.
fn incident(id: &str, key: &str) -> Alert {
    let guidance = Guidance { channels: vec!["owner".into()], ..Guidance::default() };
    Alert { guidance, ..alert(id, 1, key, EventTime::now()) }
}

/// Registers keys with their owners.
fn register(database: &TestDatabase, keys: &[(&str, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let line = |(key, owner): &(&str, &str)| {
        serde_json::json!({ "key_id": key, "owner": owner }).to_string() + "\n"
    };
    let text: String = keys.iter().map(line).collect();
    fs::write(folder.path().join("keys.jsonl"), text).unwrap();
    keys_cli::run(database, folder.path(), &["import", "keys.jsonl"]).succeeded();
}

/// Stores the requests that the incidents are about, with this status.
async fn store_uses(database: &TestDatabase, incidents: &[&Alert], status: u16) {
    store_answers(database, incidents, status, None).await;
}

/// Each status has a partition of its own.
async fn store_answers(
    database: &TestDatabase,
    incidents: &[&Alert],
    status: u16,
    authenticated: Option<bool>,
) {
    let mut events = Vec::new();
    for (offset, alert) in incidents.iter().enumerate() {
        let key = alert.key_id.as_deref().unwrap();
        let mut used = event(offset as i64, alert.detected_event_time, key);
        used.event.status = status;
        used.event.authenticated = authenticated;
        used.event.user_agent = Some("evil/1 https://evil.example".into());
        events.push(used);
    }
    let partition = partition(i32::from(status as i16));
    database.store.write_batch(&batch(&partition, &events)).await.unwrap();
}

fn questions(mailbox: &Mailbox) -> Vec<Mail> {
    let is_question = |mail: &Mail| mail.subject.starts_with("Was it you?");
    mailbox.mails().into_iter().filter(is_question).collect()
}

async fn one_question(mailbox: &Mailbox) -> Mail {
    eventually("a question to the owner", LIMIT, async || {
        questions(mailbox).pop().ok_or_else(|| mailbox.mails())
    })
    .await
}

/// The paths of "it was me" and "it was not me".
fn links(mail: &Mail) -> [String; 2] {
    let lines = mail.text.lines().map(str::trim);
    let paths: Vec<_> = lines.filter_map(|line| line.strip_prefix(CONSOLE)).collect();
    [paths[0].to_owned(), paths[1].to_owned()]
}

/// Asks as a browser that reaches the console by its public name.
fn get(console: &Console, method: &str, path: &str) -> Answer {
    console.send(method, path, &[("host", "keywatch.example.com"), ("accept", "text/html")])
}

/// Presses the button of the page, or has another site send the form.
fn press(console: &Console, path: &str, origin: Option<&str>) -> Answer {
    let own = [("host", "keywatch.example.com"), ("accept", "text/html"), ("content-length", "0")];
    let origin = origin.map(|origin| ("origin", origin));
    let headers: Vec<_> = own.into_iter().chain(origin).collect();
    console.send("POST", path, &headers)
}

async fn answers(database: &TestDatabase) -> Vec<String> {
    let sql = "SELECT kind, who, origin FROM incident_acts WHERE kind LIKE 'owner%' ORDER BY time";
    lines(&database.store, sql).await
}

fn shown(database: &TestDatabase, id: &str) -> Value {
    serde_json::from_str(&alerts(database, &["show", id, "--json"])).unwrap()
}

/// A service that has asked the owner of `ak_1` about `inc_1`.
async fn asked() -> (TestDatabase, Console, Mail) {
    let (database, mailbox) = (database().await, Mailbox::start(&[]));
    register(&database, &[("ak_1", OWNER)]);
    let incident = incident("inc_1", "ak_1");
    store_uses(&database, &[&incident], 200).await;
    leave(&database.store, &[incident]).await;
    users(&database, &["add", "alice", "--role", "responder"]).unwrap();
    let console = Console::start_with(by_mail(&database, &mailbox));
    let mail = one_question(&mailbox).await;
    (database, console, mail)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_is_asked_and_answers_by_a_button_and_not_by_opening_a_link() {
    let (database, console, mail) = asked().await;
    assert!(mail.raw.contains("\r\nTo: payments@example.com\r\n"), "{}", mail.raw);
    for words in ["ak_1", "City, DE", "Network 64500", "evil/1 https[:]//evil.example", "UTC"] {
        assert!(mail.text.contains(words), "no {words} in\n{}", mail.text);
    }
    for secret in ["192.0.2.1", "mpossible", "geo.", "/v1/orders", "revoke", LINK_SECRET] {
        assert!(!mail.raw.contains(secret) && !mail.text.contains(secret), "{}", mail.text);
    }
    let [me, not_me] = links(&mail);
    // Programs that look into mails open every link.
    for path in [&me, &not_me, &me] {
        assert_eq!(get(&console, "HEAD", path).status, 200);
        let page = get(&console, "GET", path);
        assert_eq!(page.status, 200);
        assert!(page.body.contains("<form method=\"post\">"), "{}", page.body);
        assert!(!page.body.contains("/incidents"), "{}", page.body);
        for header in ["referrer-policy: same-origin", "cache-control: no-store"] {
            assert!(page.headers.contains(header), "{}", page.headers);
        }
    }
    // Nor can another site, or a program that sends forms without a browser.
    for origin in [None, Some("https://evil.example"), Some("null")] {
        assert_eq!(press(&console, &not_me, origin).status, 403, "{origin:?}");
    }
    assert_eq!(answers(&database).await, [""; 0]);

    let told = press(&console, &not_me, Some(CONSOLE));
    assert_eq!(told.status, 200, "{}", told.body);
    assert!(told.body.contains("Your answer is kept: it was not me."), "{}", told.body);
    assert_eq!(press(&console, &not_me, Some(CONSOLE)).status, 200, "the same answer again");
    let by_link = format!("{OWNER} link");
    assert_eq!(answers(&database).await, [format!("owner_no {by_link}")]);

    let incident = shown(&database, "inc_1");
    assert_eq!(incident["owner_said"]["it_was_not_me"], 1, "{incident}");
    assert_eq!(incident["state"], "open");
    let cookie = console.login("alice", PASSWORD);
    let page = console.get_as(&cookie, "/incidents/inc_1").body;
    assert!(page.contains("answered &quot;it was not me&quot;"), "{page}");
    assert!(page.contains("an owner has little reason to deny a use of their own"), "{page}");
    let audited = "SELECT count() FROM audit_sources WHERE has(record, 'kind=owner_no')";
    assert_eq!(lines(&database.store, audited).await, ["1"]);
    assert_eq!(console.service.metric("keywatch_owner_questions_total"), 1.0);
    assert_eq!(console.service.metric("keywatch_owner_answers_total"), 1.0);
    let log = console.service.log();
    for path in [&me, &not_me] {
        assert!(!log.contains(path.rsplit('.').next().unwrap()), "a link is in the log");
    }
    assert!(!log.contains(LINK_SECRET));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minds_are_changed_within_bounds_and_a_thief_cannot_use_up_the_denial() {
    let (database, console, mail) = asked().await;
    let [me, not_me] = links(&mail);
    let press = |path: &String| press(&console, path, Some(CONSOLE)).status;
    for _ in 0..3 {
        assert_eq!((press(&me), press(&not_me)), (200, 200));
    }
    assert_eq!((press(&me), press(&not_me)), (409, 200), "the last answer again is no new one");
    assert_eq!(answers(&database).await.len(), 6);
    let incident = shown(&database, "inc_1");
    assert_eq!(incident["owner_said"]["last"], "it_was_not_me", "{incident}");
    // Neither a form nor the API can answer for an owner.
    let cookie = console.login("alice", PASSWORD);
    let page = console.get_as(&cookie, "/incidents/inc_1");
    assert!(
        page.body.contains("gave both answers (it was me: 3, it was not me: 3)"),
        "{}",
        page.body
    );
    for kind in ["owner_yes", "ask_owner"] {
        let fields = [("token", page.hidden("token")), ("version", page.hidden("version"))];
        let [token, version] = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        let form = [token, version, ("kind", kind)];
        assert_eq!(console.submit("/incidents/inc_1/act", &cookie, &form).status, 422);
    }
    // Forged links, and links of another incident.
    let letter = if me.ends_with('A') { "B" } else { "A" };
    let forged = format!("{}{letter}", &me[..me.len() - 1]);
    for path in [forged.as_str(), "/was-it-you/", "/was-it-you/x", "/was-it-you/a/b"] {
        assert_eq!(get(&console, "GET", path).status, 404, "{path}");
        assert_eq!(self::press(&console, path, Some(CONSOLE)).status, 404, "{path}");
    }
    assert_eq!(answers(&database).await.len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_after_the_close_is_kept_and_reopens_nothing() {
    let (database, console, mail) = asked().await;
    let [me, not_me] = links(&mail);
    alerts(&database, &["dismiss", "inc_1", "--reason", "false_travel", "--by", "alice"]);
    for path in [&me, &not_me] {
        let told = press(&console, path, Some(CONSOLE));
        assert_eq!(told.status, 200, "{}", told.body);
        assert!(told.body.contains("The incident was closed before."), "{}", told.body);
    }
    let incident = shown(&database, "inc_1");
    assert_eq!(incident["state"], "closed", "{incident}");
    assert_eq!(incident["close_reason"], "false_travel");
    assert_eq!(incident["owner_said"]["it_was_not_me"], 1);
    let closed = console.service.get("/metrics").1;
    assert!(
        closed.contains(
            "keywatch_owner_answers_total{answer=\"it_was_not_me\",incident=\"closed\"} 1"
        ),
        "{closed}"
    );
}

/// The outcome of the question about each incident.
async fn outcomes(database: &TestDatabase, count: usize) -> Vec<String> {
    let sql = "SELECT alert_id, outcome, if(outcome = 'delivered', '', detail) FROM deliveries FINAL \
        WHERE channel = 'owner' ORDER BY alert_id";
    eventually("all questions have an outcome", LIMIT, async || {
        let found = lines(&database.store, sql).await;
        if found.len() == count { Ok(found) } else { Err(found) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_without_a_rule_an_address_a_proven_use_or_beyond_the_limits() {
    let (database, mailbox) = (database().await, Mailbox::start(&[]));
    let spellings =
        ["ann@example.com", "Ann@example.com", "ann+2@example.com", "ann+3@example.com"];
    let mut keys = vec![("no-address", "Payments team"), ("two", "a@example.com, b@example.com")];
    keys.extend(["a1", "a2", "a3", "a4"].into_iter().zip(spellings));
    keys.extend([("refused", OWNER), ("public", OWNER), ("silent", OWNER), ("tried", OWNER)]);
    register(&database, &keys);
    let unnamed = Alert { guidance: Guidance::default(), ..incident("i0", "silent") };
    let tried = Alert { restraint: Some(Restraint::AttemptsOnly), ..incident("i1", "tried") };
    let rest = [("i2", "no-address"), ("i3", "two"), ("i4", "unregistered"), ("i5", "refused")];
    let ann =
        [("i6", "a1"), ("i7", "a1"), ("i8", "a2"), ("i9", "a3"), ("ia", "a4"), ("ib", "public")];
    let mut all = vec![unnamed, tried];
    all.extend(rest.into_iter().chain(ann).map(|(id, key)| incident(id, key)));
    let of = |key: &str| -> Vec<&Alert> {
        all.iter().filter(|alert| alert.key_id.as_deref() == Some(key)).collect()
    };
    store_uses(&database, &of("refused"), 401).await;
    // A page that needs no key answers whoever names one.
    store_answers(&database, &of("public"), 201, Some(false)).await;
    let is_proven = |alert: &&Alert| {
        !["refused", "public"].contains(&alert.key_id.as_deref().unwrap_or_default())
    };
    let proven: Vec<_> = all.iter().filter(is_proven).collect();
    store_uses(&database, &proven, 200).await;
    leave(&database.store, &all).await;
    let settings = by_mail(&database, &mailbox).set("owner.max_per_owner_per_day", 3);
    let _console = Console::start_with(settings);
    let no_owner = "skipped the registry names no owner who can be reached";
    let expected = [
        "i0 skipped no rule names the owner".to_owned(),
        "i1 skipped it rests on attempts alone".to_owned(),
        format!("i2 {no_owner}"),
        format!("i3 {no_owner}"),
        format!("i4 {no_owner}"),
        "i5 skipped the evidence has no proven use to ask about".to_owned(),
        "i6 delivered ".to_owned(),
        "i7 skipped owner.max_per_key_per_day is reached".to_owned(),
        "i8 delivered ".to_owned(),
        "i9 delivered ".to_owned(),
        "ia skipped owner.max_per_owner_per_day is reached".to_owned(),
        "ib skipped the evidence has no proven use to ask about".to_owned(),
    ];
    assert_eq!(outcomes(&database, all.len()).await, expected);
    assert_eq!(questions(&mailbox).len(), 3);
    let noted = "SELECT incident FROM incident_acts WHERE kind = 'ask_owner' ORDER BY incident";
    assert_eq!(lines(&database.store, noted).await, ["i6", "i8", "i9"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_of_the_operator_gets_a_signed_question_once_though_it_failed_at_first() {
    let database = database().await;
    let receiver = Receiver::start([receiver::Answer::Status(503)]).await;
    register(&database, &[("ak_1", "team payments")]);
    let first = incident("inc_1", "ak_1");
    let second = Alert { ..alert("inc_1", 2, "ak_1", EventTime::now()) };
    let second = Alert { guidance: first.guidance.clone(), ..second };
    store_uses(&database, &[&first, &second], 200).await;
    leave(&database.store, &[first]).await;
    let settings = settings(&database)
        .set("owner.webhook_url", receiver.url.as_str())
        .set("owner.webhook_secret", WEBHOOK_SECRET);
    let _console = Console::start_with(settings);
    let calls = receiver.wait_for(2).await;
    assert_eq!(calls[0].header("webhook-id"), calls[1].header("webhook-id"));
    let question = calls[1].verified(WEBHOOK_SECRET).unwrap();
    assert_eq!(question["type"], "owner.question");
    assert_eq!(
        (&question["owner"], &question["key_id"]),
        (&"team payments".into(), &"ak_1".into())
    );
    assert_eq!(question["use"]["place"], "City, DE");
    for link in ["it_was_me", "it_was_not_me"] {
        let link = question["links"][link].as_str().unwrap();
        assert!(link.starts_with(&format!("{CONSOLE}/was-it-you/")), "{link}");
    }
    // More evidence asks nobody again.
    leave(&database.store, &[second]).await;
    let sql = "SELECT detail FROM deliveries FINAL WHERE channel = 'owner' AND revision = 2";
    let detail = eventually("the second revision has an outcome", LIMIT, async || {
        let found = lines(&database.store, sql).await;
        if found.is_empty() { Err(found) } else { Ok(found) }
    })
    .await;
    assert_eq!(detail, ["the owner was asked about this incident before"]);
    assert_eq!(receiver.received().len(), 2);
    let asked = lines(&database.store, "SELECT kind, assignee FROM incident_acts").await;
    assert_eq!(asked, ["ask_owner team payments"]);
}

/// The thief reads the owner's mail, and answers for the owner.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_was_me_stops_no_revocation_and_it_was_not_me_approves_none() {
    let (database, receiver) = (database().await, Receiver::start([]).await);
    let settings = response::settings(&database, &receiver)
        .set("policy.approval.tenants", vec!["tenant-me", "tenant-not-me"]);
    let proposals = [proposal("me", Action::Revoke), proposal("not-me", Action::Revoke)];
    let said = [Kind::OwnerYes, Kind::OwnerNo];
    let acts: Vec<Act> = proposals
        .iter()
        .zip(said)
        .flat_map(|(seen, kind)| {
            let of_owner = |kind: Kind| Act {
                origin: Origin::Link,
                ..act(&seen.id, &format!("{}-{}", seen.id, kind.as_str()), kind, seen)
            };
            [of_owner(Kind::AskOwner), of_owner(kind)]
        })
        .collect();
    database.store.record_acts(&acts).await.unwrap();
    leave(&database.store, &proposals).await;
    let _service = crate::support::service::Service::start(&settings);
    for id in ["me", "not-me"] {
        let told = wait_until_told(&receiver, id, "alert.updated", "approval_pending".into()).await;
        assert_eq!(told["severity"], serde_json::json!(Severity::Critical));
        let last = told["owner_said"]["last"].as_str().unwrap();
        assert_eq!(last == "it_was_me", id == "me", "{told}");
    }
    alerts(&database, &["approve", "me"]);
    wait_until_told(&receiver, "me", "key.revocation_requested", Value::Null).await;
    let requests = lines(&database.store, "SELECT incident FROM revocation_requests").await;
    assert_eq!(requests, ["me"]);
}
