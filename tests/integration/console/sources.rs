//! The page of an address or a network.

use keywatch::alert::{Alert, DetectorId};
use keywatch::event::{EnrichedEvent, EventTime};
use serde_json::json;

use super::store_alerts;
use crate::clickhouse::samples::{alert, batch, event, origin, partition};
use crate::support::clickhouse::{TestDatabase, client, database};
use crate::support::console::{Answer, Console};

/// The address that tries a list of keys.
const THIEF: &str = "203.0.113.9";
const CALLER: &str = "2001:db8:1:2::9";

fn request(offset: i64, at: EventTime, key: &str, address: &str, status: u16) -> EnrichedEvent {
    let mut request = event(offset, at, key);
    request.event.client_ip = address.parse().unwrap();
    request.event.status = status;
    request.origin = origin("NL", 24_940);
    request
}

/// Thirty keys are tried, and one of them is accepted; at home it has eighteen.
async fn store_a_raid(database: &TestDatabase, now: EventTime) {
    let at = |n: i64| now.plus_seconds(-30.0 * n as f64);
    let mut events: Vec<_> =
        (0..30).map(|n| request(n, at(n), &format!("list-{n:02}"), THIEF, 401)).collect();
    events.push(request(30, at(0), "list-07", THIEF, 200));
    events.extend((31..49).map(|n| request(n, at(n), "list-07", "198.51.100.1", 200)));
    for n in 49..52 {
        events.push(request(n, at(n), "key-6", CALLER, 200));
    }
    let mut neighbour = request(52, at(1), "key-6", "2001:db8:1:2::a", 403);
    neighbour.event.user_agent = Some("<script>alert(7)</script>\u{202e}'\"".into());
    events.push(neighbour);
    database.store.write_batch(&batch(&partition(0), &events)).await.unwrap();
}

/// One incident about the thief's network, one about the key, and one about neither.
fn incidents(now: EventTime) -> [Alert; 3] {
    let mut raid = alert("inc_raid", 1, "", now);
    (raid.key_id, raid.source_ip) = (None, Some("203.0.113.77".parse().unwrap()));
    raid.title = "Source 203.0.113.0/24: tried 30 keys".into();
    raid.detectors = vec![DetectorId::CredentialStuffing];
    raid.evidence[0].fields.insert("source".into(), "203.0.113.0/24".into());
    let mut theft = alert("inc_theft", 1, "list-07", now);
    theft.source_ip = None;
    theft.evidence[0].fields.insert("to".into(), json!({ "ip": THIEF, "time": now }));
    // Text of a request that looks like evidence does not count.
    let mut other = alert("inc_other", 1, "key-other", now);
    other.source_ip = None;
    other.evidence[0].fields.insert("client".into(), format!("x\",\"ip\":\"{THIEF}\"").into());
    [raid, theft, other]
}

#[track_caller]
fn says(page: &Answer, words: &[&str]) {
    assert_eq!(page.status, 200, "{}", page.body);
    for word in words {
        assert!(page.body.contains(word), "no {word} in {}", page.body);
    }
}

/// The part of the page with this id.
fn part<'a>(page: &'a Answer, id: &str) -> &'a str {
    let (_, rest) = page.body.split_once(&format!("id=\"{id}\"")).unwrap();
    rest.split("</section>").next().unwrap()
}

#[tokio::test]
async fn an_address_tells_which_keys_it_used_and_which_it_only_tried() {
    let database = database().await;
    let now = EventTime::now();
    store_a_raid(&database, now).await;
    store_alerts(&database.store, 900, &incidents(now)).await;
    let console = Console::start(&database.config);

    let page = console.get(&format!("/sources/{THIEF}"));
    let counts = "1 accepted, 30 refused (401 or 403)";
    says(&page, &["31 requests", counts, "keywatch hunt --address 203.0.113.9 --since 14d"]);
    let used = part(&page, "used");
    assert!(used.contains("list-07") && !used.contains("list-08"), "{used}");
    // One of its nineteen accepted requests came from here, and refused ones count for nothing.
    assert!(used.contains(">5 %<"), "{used}");
    let tried = part(&page, "tried");
    assert!(tried.contains("list-08") && !tried.contains("list-07"), "{tried}");
    assert!(tried.contains("4 more keys"), "29 of which 25 are listed: {tried}");
    let who = part(&page, "who");
    for word in ["City, NL", "AS24940", "a data centre", "/sources/203.0.113.0/24"] {
        assert!(who.contains(word), "no {word} in {who}");
    }
    assert!(part(&page, "about").contains("/incidents/inc_raid"));
    let of_keys = part(&page, "keys-of");
    assert!(of_keys.contains("/incidents/inc_theft") && !of_keys.contains("inc_other"));
    assert!(page.body.contains("class=\"heat\"") && page.body.contains("client/1.0"));
    assert!(page.body.len() < 100_000, "{}", page.body.len());
}

#[tokio::test]
async fn networks_of_both_families_are_sources_and_hostile_clients_are_shown_safely() {
    let database = database().await;
    store_a_raid(&database, EventTime::now()).await;
    let console = Console::start(&database.config);

    let address = console.get(&format!("/sources/{CALLER}"));
    says(&address, &["3 requests", "/sources/2001:db8:1:2::/64", "/sources/2001:db8:1::/48"]);
    let encoded = console.get("/sources/2001%3adb8%3A1%3A2%3A%3A%2F64");
    let net = console.get("/sources/2001:DB8:1:2::/64");
    for page in [&encoded, &net] {
        says(page, &["4 requests", "3 accepted, 1 refused", "Addresses seen", "⟨U+202E⟩"]);
        says(page, &["href=\"/sources/2001:db8:1:2::a\"", "&lt;script&gt;alert(7)"]);
        assert!(!page.body.contains("<script>") && !page.body.contains('\u{202e}'));
    }
    says(
        &console.get("/sources/203.0.113.0/24"),
        &["31 requests", "href=\"/sources/203.0.113.9\""],
    );
    says(&console.get("/sources/::ffff:203.0.113.9"), &["31 requests"]);
}

/// The raw rows of a busy source are more than a page may read, and here they are gone.
#[tokio::test]
async fn a_source_is_counted_without_its_raw_rows() {
    let database = database().await;
    store_a_raid(&database, EventTime::now()).await;
    let client = client(&database.config);
    client.query("TRUNCATE TABLE access_events").execute().await.unwrap();
    let console = Console::start(&database.config);

    for (path, requests) in [
        (THIEF, "31 requests"),
        ("203.0.113.0/24", "31 requests"),
        ("2001:db8:1:2::/64", "4 requests"),
        ("2001:db8:1::/48", "4 requests"),
    ] {
        says(&console.get(&format!("/sources/{path}")), &[requests, "City, NL", "AS24940"]);
    }
    let page = console.get(&format!("/sources/{THIEF}"));
    assert!(part(&page, "used").contains("list-07") && part(&page, "tried").contains("list-08"));
    let net = console.get("/sources/2001:db8:1::/48");
    says(&net, &["Networks seen", "href=\"/sources/2001:db8:1:2::/64\""]);
}

/// Requests from before the upgrade are in the raw rows alone.
#[tokio::test]
async fn a_page_says_since_when_requests_are_counted_by_source() {
    let database = database().await;
    store_a_raid(&database, EventTime::now()).await;
    let console = Console::start(&database.config);
    let path = "/sources/203.0.113.0/24";
    let sentence = "Requests that were stored before the upgrade";
    assert!(!console.get(path).body.contains(sentence));

    let older = "INSERT INTO schema_migrations (name, checksum, applied_at) \
        SELECT name, checksum, applied_at - INTERVAL 2 DAY FROM schema_migrations \
        WHERE name < '0021'";
    client(&database.config).query(older).execute().await.unwrap();
    let console = Console::start(&database.config);
    says(&console.get(path), &[sentence, "31 requests"]);
    let part_of_64 = console.get(&format!("/sources/{CALLER}"));
    assert!(!part_of_64.body.contains(sentence), "raw rows are counted: {}", part_of_64.body);
}

#[tokio::test]
async fn what_is_no_source_or_not_known_is_told() {
    let database = database().await;
    store_a_raid(&database, EventTime::now()).await;
    let console = Console::start(&database.config);

    for (path, status, sentence) in [
        ("192.0.2.200", 404, "Nothing is stored of 192.0.2.200"),
        ("2001:db8:ffff::/48", 404, "Nothing is stored of 2001:db8:ffff::/48"),
        ("203.0.113.9/24", 400, "the network of this address is 203.0.113.0/24"),
        ("0.0.0.0/0", 400, "the network is too large"),
        ("203.0.113.9%27%20OR%201", 400, "neither an address nor a network"),
        ("%3Cscript%3E%E2%80%AE", 400, "&lt;script&gt;⟨U+202E⟩"),
        ("203.0.113.9/../../login", 400, "neither an address nor a network"),
    ] {
        let page = console.get(&format!("/sources/{path}"));
        assert_eq!(page.status, status, "{path}: {}", page.body);
        assert!(page.body.contains(sentence), "{path}: {}", page.body);
    }
    assert_eq!(console.get("/sources/").status, 404);
}

#[tokio::test]
async fn every_page_that_shows_an_address_leads_to_it() {
    let database = database().await;
    let now = EventTime::now();
    store_a_raid(&database, now).await;
    store_alerts(&database.store, 900, &incidents(now)).await;
    let console = Console::start(&database.config);

    let link = format!("href=\"/sources/{THIEF}\"");
    for path in ["/incidents/inc_theft", "/key?id=list-07"] {
        says(&console.get(path), &[&link]);
    }
    let of_source = "href=\"/sources/203.0.113.77\"";
    says(&console.get("/incidents/inc_raid"), &[of_source, "href=\"/sources/203.0.113.0/24\""]);
    says(&console.get("/incidents"), &[of_source]);
    // The field that finds keys finds addresses too.
    let found = console.get("/key?id=%20203.0.113.9");
    assert_eq!(found.status, 303, "{}", found.body);
    assert!(found.headers.contains("location: /sources/203.0.113.9\r\n"), "{}", found.headers);
}
