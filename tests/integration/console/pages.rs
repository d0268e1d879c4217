//! The content of the pages.

use keywatch::alert::{Alert, AlertType, Severity};
use keywatch::event::EventTime;
use keywatch::workflow::{Act, Kind};

use super::{fixture, store_alerts};
use crate::clickhouse::acts::act;
use crate::clickhouse::samples::{alert, batch, event, partition, varied_events};
use crate::support::clickhouse::database;
use crate::support::console::{Answer, Console};

#[track_caller]
fn says(answer: &Answer, words: &[&str]) {
    assert_eq!(answer.status, 200, "{}", answer.body);
    for word in words {
        assert!(answer.body.contains(word), "no {word} in {}", answer.body);
    }
}

#[tokio::test]
async fn the_overview_tells_how_things_are() {
    let database = database().await;
    let now = EventTime::now();
    let events = varied_events(500, 0, now.plus_seconds(-400.0), 0.5);
    database.store.write_batch(&batch(&partition(0), &events)).await.unwrap();
    let mut critical = alert("inc_1", 1, "key-a", now);
    critical.severity = Severity::Critical;
    store_alerts(&database.store, 500, &[critical]).await;

    let console = Console::start(&database.config);
    let page = console.get("/");
    says(
        &page,
        &[
            "1 critical incident to look at now.",
            "Keys watched",
            ">97<",
            "Everything that the log held at",
            "Impossible travel of key-a",
            // The samples carry no such field.
            "the log carries no <code>client_fingerprint</code>",
            "This is a dry run",
        ],
    );
    assert!(page.body.len() < 100_000, "{}", page.body.len());
}

#[tokio::test]
async fn an_empty_installation_says_so() {
    let database = database().await;
    let console = Console::start(&database.config);
    says(&console.get("/"), &["All is quiet", "nothing was stored in the last day"]);
    says(&console.get("/incidents"), &["0 incidents", "No incident matches this filter."]);
    says(&console.get("/keys"), &["No key was used in the last day"]);
}

#[tokio::test]
async fn an_incident_is_told_with_its_evidence_and_its_journey() {
    let database = database().await;
    let now = EventTime::now();
    let mut told = fixture("impossible_travel");
    (told.first_event_time, told.last_event_time) = (now.plus_seconds(-240.0), now);
    let mut travelling = told.clone();
    let ends = [("from", "203.0.113.17", told.first_event_time), ("to", "198.51.100.77", now)];
    for (name, ip, time) in ends {
        let end = serde_json::json!({ "ip": ip, "time": time });
        travelling.evidence[0].fields.insert(name.into(), end);
    }
    let mut events = Vec::new();
    for (offset, ip, at) in
        [(0, "203.0.113.17", told.first_event_time), (1, "198.51.100.77", told.last_event_time)]
    {
        let mut request = event(offset, at, "ak_123");
        request.event.client_ip = ip.parse().unwrap();
        events.push(request);
    }
    database.store.write_batch(&batch(&partition(0), &events)).await.unwrap();
    store_alerts(&database.store, 10, &[travelling]).await;

    let console = Console::start(&database.config);
    let page = console.get("/incidents/al_6f1d2c9b0a7e4453");
    says(
        &page,
        &[
            "requests from two places 8,900 km apart within 4 minutes",
            "DRY RUN: nothing was changed",
            "1 in 26.3 million",
            "p = 3.8e-8",
            "135,754 observed, 900 expected",
            "Almost certainly theft (97 % of such alerts are true)",
            "The journey",
            "class=\"journey\"",
            "SELECT time, client_address",
            "keywatch alerts show al_6f1d2c9b0a7e4453",
            &format!("datetime=\"{now}\""),
        ],
    );
}

#[tokio::test]
async fn the_two_requests_of_a_replay_stand_side_by_side() {
    let database = database().await;
    let now = EventTime::now();
    let (first, second) = (now.plus_seconds(-600.0), now.plus_seconds(-10.0));
    let mut events = [event(4, first, "key-r"), event(9, second, "key-r")];
    events[1].event.client_ip = "198.51.100.77".parse().unwrap();
    events[1].event.path = "/v1/withdrawals".into();
    database.store.write_batch(&batch(&partition(0), &events)).await.unwrap();
    let mut replay = alert("inc_replay", 1, "key-r", now);
    let request = |at: EventTime, ip: &str, offset: i64| serde_json::json!({ "time": at, "ip": ip, "status": 200, "offset": offset });
    let fields = &mut replay.evidence[0].fields;
    fields.insert("first_request".into(), request(first, "192.0.2.1", 4));
    fields.insert("second_request".into(), request(second, "198.51.100.77", 9));
    fields.insert("gap_seconds".into(), 590.0.into());
    store_alerts(&database.store, 20, &[replay]).await;

    let console = Console::start(&database.config);
    says(
        &console.get("/incidents/inc_replay"),
        &[
            "The same credential twice",
            "9.83 min later",
            "GET /v1/orders",
            "GET /v1/withdrawals",
            "198.51.100.77",
        ],
    );
}

#[tokio::test]
async fn hostile_values_are_shown_safely_and_visibly() {
    let database = database().await;
    let mut hostile = fixture("hostile");
    let key = "a\u{202e}b\u{200b}<img src=x>'\\\n\t";
    hostile.key_id = Some(key.into());
    hostile.detected_at = EventTime::now();
    store_alerts(&database.store, 0, &[hostile]).await;
    let mut request = event(50, EventTime::now(), key);
    request.event.user_agent = Some("<script>alert(2)</script>\u{2066}".into());
    database.store.write_batch(&batch(&partition(1), &[request])).await.unwrap();

    let console = Console::start(&database.config);
    let encoded = "a%E2%80%AEb%E2%80%8B%3Cimg%20src%3Dx%3E%27%5C%0A%09";
    let incident = console.get("/incidents/al_00ff00ff00ff00ff");
    let list = console.get("/incidents");
    let key_page = console.get(&format!("/key?id={encoded}"));
    says(&incident, &["⟨U+202E⟩", "⟨U+0000⟩", "&lt;script&gt;alert(1)", "\\xe2\\x80\\xae"]);
    says(&list, &["⟨U+200B⟩", encoded]);
    says(&key_page, &["⟨U+202E⟩", "⟨U+000A⟩", "⟨U+2066⟩", "1 request"]);
    for page in [&incident, &list, &key_page] {
        for c in ['\u{202e}', '\u{200b}', '\u{2066}', '\0'] {
            assert!(!page.body.contains(c), "{c:?}");
        }
        for markup in ["<img", "<script>", "<b>", "</td></table>"] {
            let unescaped = page.body.matches(markup).count();
            assert!(unescaped == 0, "{markup} in {}", page.body);
        }
    }
}

#[tokio::test]
async fn filters_live_in_the_address() {
    let database = database().await;
    let now = EventTime::now();
    let mut closed = alert("inc_closed", 2, "key-closed", now);
    closed.alert_type = AlertType::Resolved;
    closed.severity = Severity::Low;
    let mut source = alert("inc_source", 1, "", now);
    source.key_id = None;
    source.source_ip = Some("203.0.113.9".parse().unwrap());
    let alerts = [
        alert("inc_open", 1, "key-open", now),
        alert("inc_closed", 1, "key-closed", now.plus_seconds(-10.0)),
        closed,
        source,
        alert("inc_old", 1, "key-old", now.plus_seconds(-5_000_000.0)),
    ];
    store_alerts(&database.store, 0, &alerts).await;
    let console = Console::start(&database.config);
    let shown = |query: &str| {
        let page = console.get(&format!("/incidents?{query}"));
        assert_eq!(page.status, 200, "{}", page.body);
        let names = ["inc_open", "inc_closed", "inc_source", "inc_old"];
        let link = |name: &str| page.body.contains(&format!("href=\"/incidents/{name}\""));
        names.into_iter().filter(|name| link(name)).collect::<Vec<_>>()
    };
    assert_eq!(shown("").len(), 4);
    assert_eq!(shown("state=closed"), ["inc_closed"]);
    assert_eq!(shown("state=open&since=24h"), ["inc_open", "inc_source"]);
    assert_eq!(shown("severity=low"), ["inc_closed"]);
    assert_eq!(shown("key=y-op"), ["inc_open"]);
    assert_eq!(shown("key=203.0.113"), ["inc_source"]);
    assert_eq!(shown("key=%27+OR+1%3D1+--"), [""; 0]);
    assert_eq!(shown("detector=rate.spike").len(), 4);
    assert_eq!(shown("detector=monitor.blind"), [""; 0]);
}

#[tokio::test]
async fn the_people_who_handle_an_incident_are_shown_and_their_state_filters_the_list() {
    let database = database().await;
    let now = EventTime::now();
    let incidents = ["inc_new", "inc_seen", "inc_done", "inc_back"];
    let alerts = incidents.map(|id| alert(id, 1, &format!("key-{id}"), now));
    store_alerts(&database.store, 0, &alerts).await;
    let told = |id: &str, kind| {
        let act = act(id, &format!("{id} {}", kind as u8), kind, &alerts[0]);
        Act { text: "a\u{202e}<b>\nsecond line".into(), ..act }
    };
    let acts = [
        told("inc_seen", Kind::Acknowledge),
        told("inc_seen", Kind::Assign),
        told("inc_done", Kind::Dismiss),
        told("inc_back", Kind::Dismiss),
    ];
    database.store.record_acts(&acts).await.unwrap();
    let too_late = Act { time: now.plus_seconds(60.0), ..told("inc_done", Kind::Assign) };
    database.store.record_acts(&[too_late]).await.unwrap();
    let worse = Alert { severity: Severity::Critical, ..alert("inc_back", 2, "key-inc_back", now) };
    store_alerts(&database.store, 1, &[worse]).await;

    let console = Console::start(&database.config);
    let listed = |state: &str| {
        let page = console.get(&format!("/incidents?state={state}")).body;
        let is_listed = |id: &&str| page.contains(&format!("href=\"/incidents/{id}\""));
        incidents.into_iter().filter(is_listed).collect::<Vec<_>>()
    };
    assert_eq!(listed("open"), ["inc_new", "inc_back"]);
    assert_eq!(listed("acknowledged"), ["inc_seen"]);
    assert_eq!(listed("closed"), ["inc_done"]);
    assert_eq!(console.get("/incidents?state=done").status, 400);
    says(&console.get("/"), &["1 critical incident to look at now."]);
    says(&console.get("/incidents?state=closed"), &["state closed", "false_travel"]);
    says(&console.get("/incidents/inc_new"), &["state open", "Nobody has acted on it yet."]);
    let seen = ["state acknowledged", "Assigned to <bdi>assignee of inc_seen", "second line"];
    let page = console.get("/incidents/inc_seen");
    says(&page, &seen);
    says(&page, &["⟨U+202E⟩", "&lt;b&gt;", "from the command line"]);
    assert!(!page.body.contains('\u{202e}') && !page.body.contains("<b>"));
    let done = console.get("/incidents/inc_done");
    says(&done, &["stored and not sent until", "It had no effect, because the incident"]);
    let back = console.get("/incidents/inc_back");
    says(&back, &["state open", "New evidence has reopened this incident."]);
}

#[tokio::test]
async fn a_key_is_shown_with_its_use_and_its_incidents() {
    let database = database().await;
    let now = EventTime::now();
    let events: Vec<_> =
        (0..40).map(|n| event(n, now.plus_seconds(-60.0 * n as f64), "key/../x?y")).collect();
    database.store.write_batch(&batch(&partition(0), &events)).await.unwrap();
    store_alerts(&database.store, 99, &[alert("inc_7", 1, "key/../x?y", now)]).await;
    let console = Console::start(&database.config);
    says(
        &console.get("/key?id=key%2F..%2Fx%3Fy"),
        &[
            "40 requests",
            "Impossible travel of",
            "City, DE",
            "AS64500 Network 64500",
            "client/1.0",
            "GET /v1/orders",
            "class=\"heat\"",
        ],
    );
    says(&console.get("/keys"), &["href=\"/key?id=key%2F..%2Fx%3Fy\""]);
    assert_eq!(console.get("/key?id=nobody").status, 404);
}
