//! Tests the queries about the use of keys.

use keywatch::alert::AlertType;
use keywatch::deliver::DeliveryLog;
use keywatch::deliver::record::{DeliveryOutcome, DeliveryRow};
use keywatch::event::{EnrichedEvent, Fingerprint, Nonce};
use keywatch::workflow::Kind;

use super::{answer, events, hours_ago, stored};
use crate::clickhouse::acts::{act, store_alerts};
use crate::clickhouse::samples::{alert, origin};

#[tokio::test]
async fn top_keys() {
    let database = stored(&[
        events(0, ["a", "b", "b", "b"], 0.2, |_| {}),
        events(10, ["a"], 0.2, |e| e.event.status = 429),
        events(20, ["a"; 50], 5.0, |_| {}),
    ])
    .await;
    let columns = ["key_id", "requests", "error_percent", "throttled"];
    let rows = answer(&database.store, "top_keys", &[], &columns).await;
    assert_eq!(rows, ["b | 3 | 0 | 0", "a | 2 | 50 | 1"]);
    let rows = answer(&database.store, "top_keys", &[("hours", "6"), ("limit", "1")], &columns);
    assert_eq!(rows.await, ["a | 52 | 1.9 | 1"]);
}

#[tokio::test]
async fn key_countries() {
    let database = stored(&[
        events(0, ["a", "a", "b"], 50.0, |_| {}),
        events(10, ["a"], 1.0, |e| e.origin = origin("JP", 1)),
        events(20, ["a"], 1.0, |e| e.origin = origin("", 0)),
    ])
    .await;
    let columns = ["place", "requests"];
    let rows = answer(&database.store, "key_countries", &[("key_id", "a")], &columns).await;
    assert_eq!(rows, ["DE | 2", "JP | 1", "unknown | 1"]);
}

#[tokio::test]
async fn new_networks() {
    let database = stored(&[
        events(0, ["a", "b"], 100.0, |e| e.origin = origin("DE", 1)),
        events(10, ["a", "b"], 2.0, |e| e.origin = origin("DE", 1)),
        events(20, ["a", "a"], 2.0, |e| e.origin = origin("BR", 2)),
        // A new key has no usual network, and an unknown network is not a new one.
        events(30, ["new"], 2.0, |e| e.origin = origin("BR", 2)),
        events(40, ["b"], 2.0, |e| e.origin = origin("", 0)),
    ])
    .await;
    let columns = ["key_id", "asn", "network", "requests", "countries"];
    let rows = answer(&database.store, "new_networks", &[], &columns).await;
    assert_eq!(rows, ["a | 2 | Network 2 | 2 | ['BR']"]);
}

#[tokio::test]
async fn error_share() {
    let failing = |e: &mut EnrichedEvent| e.event.status = 500;
    let database = stored(&[
        events(0, ["a", "a", "a", "b"], 48.0, |_| {}),
        events(10, ["a", "b"], 48.0, failing),
        events(20, ["a", "a", "b"], 0.2, failing),
        events(30, ["b"], 0.2, |_| {}),
    ])
    .await;
    let columns = ["key_id", "recent_error_percent", "earlier_error_percent"];
    let rows = answer(&database.store, "error_share", &[], &columns).await;
    assert_eq!(rows, ["a | 100 | 25"]);
}

#[tokio::test]
async fn key_hours() {
    let database = stored(&[
        events(0, ["a"; 3], 30.0, |e| e.event.bytes_out = Some(10)),
        events(10, ["a"; 2], 30.0, |e| e.event.status = 429),
        events(20, ["a", "b"], 400.0, |_| {}),
    ])
    .await;
    let columns = ["requests", "failed", "throttled", "bytes_out", "addresses", "p95_ms"];
    let rows = answer(&database.store, "key_hours", &[("key_id", "a")], &columns).await;
    assert_eq!(rows, ["5 | 2 | 2 | 4030 | 1 | 12"]);
}

#[tokio::test]
async fn key_routes() {
    let path = |path: &'static str| move |e: &mut EnrichedEvent| e.event.path = path.into();
    let database = stored(&[
        events(0, ["a"; 3], 60.0, path("/old")),
        events(10, ["a"; 2], 1.0, path("/old")),
        events(20, ["a", "b"], 1.0, path("/new")),
        events(30, ["a"], 1.0, |e| e.event.status = 403),
    ])
    .await;
    let since = hours_ago(24.0).to_string();
    let columns = ["path", "requests", "failed", "bytes_out", "new"];
    let values = [("key_id", "a"), ("since", since.as_str())];
    let rows = answer(&database.store, "key_routes", &values, &columns).await;
    assert_eq!(
        rows,
        ["/new | 1 | 0 | 2000 | 1", "/v1/orders | 1 | 1 | 2000 | 1", "/old | 2 | 0 | 4000 | 0",]
    );
    let rows = answer(&database.store, "key_routes", &[("key_id", "a")], &["path", "requests"]);
    assert_eq!(rows.await.len(), 3, "without a time, all that is stored");
}

#[tokio::test]
async fn key_addresses() {
    let database = stored(&[
        events(0, ["a"; 2], 1.0, |_| {}),
        events(10, ["a"; 3], 1.0, |e| {
            e.event.client_ip = "2001:db8::9".parse().unwrap();
            e.event.status = 401;
            e.origin = origin("BR", 7);
        }),
    ])
    .await;
    let columns = ["address", "asn", "network", "country", "requests", "accepted", "refused"];
    let rows = answer(&database.store, "key_addresses", &[("key_id", "a")], &columns).await;
    assert_eq!(
        rows,
        [
            "2001:db8::9 | 7 | Network 7 | BR | 3 | 0 | 3",
            "192.0.2.1 | 64500 | Network 64500 | DE | 2 | 2 | 0",
        ]
    );
}

#[tokio::test]
async fn key_clients() {
    let database = stored(&[
        events(0, ["a"; 3], 1.0, |e| e.event.client_fingerprint = Some("ja4".into())),
        events(10, ["a", "b"], 1.0, |e| e.event.user_agent = None),
    ])
    .await;
    let columns = ["client", "client_fingerprint", "requests", "addresses"];
    let rows = answer(&database.store, "key_clients", &[("key_id", "a")], &columns).await;
    assert_eq!(rows, ["client/1.0 | ja4 | 3 | 1", "unknown |  | 1 | 1"]);
}

#[tokio::test]
async fn key_timeline() {
    let refused_elsewhere = |e: &mut EnrichedEvent| {
        e.event.status = 401;
        e.origin = origin("BR", 7);
    };
    let database = stored(&[
        events(0, ["key-a", "other"], 5.0, |_| {}),
        events(10, ["key-a"], 4.0, |_| {}),
        events(20, ["key-a"], 3.0, refused_elsewhere),
    ])
    .await;
    let store = &database.store;
    let opened = alert("one", 1, "key-a", hours_ago(2.0));
    let mut asked = alert("one", 2, "key-a", hours_ago(1.0));
    asked.alert_type = AlertType::RevocationRequested;
    store_alerts(store, 100, &[opened.clone(), asked, alert("two", 1, "other", hours_ago(2.0))])
        .await;
    store.record_acts(&[act("one", "1", Kind::Confirm, &opened)]).await.unwrap();
    let sent = DeliveryRow {
        alert_id: "one".into(),
        revision: 2,
        channel: "webhook".into(),
        attempt: 1,
        outcome: DeliveryOutcome::Delivered,
        detail: "200".into(),
        time: hours_ago(0.5),
        webhook_id: "msg".into(),
    };
    store.record_delivery(&sent).await.unwrap();
    let columns = ["event", "description", "incident", "who"];
    let rows = answer(store, "key_timeline", &[("key_id", "key-a")], &columns).await;
    let starts = [
        "first use of a network | AS64500 Network 64500, DE |  | ",
        "alert.opened | high, notify: Impossible travel of key-a | one | ",
        "key.revocation_requested | high, notify: Impossible travel of key-a | one | ",
        "revocation: delivered | webhook, attempt 1: 200 | one | ",
        "people: confirm | theft ",
    ];
    assert_eq!(rows.len(), starts.len(), "{rows:#?}");
    for (row, start) in rows.iter().zip(starts) {
        assert!(row.starts_with(start), "{row}");
    }
}

#[tokio::test]
async fn silent_keys() {
    let daily = |first_offset, hours| events(first_offset, ["a", "still"], hours, |_| {});
    let database = stored(&[
        daily(0, 170.0),
        daily(10, 146.0),
        daily(20, 122.0),
        events(30, ["still"], 1.0, |_| {}),
        // Two uses in a month are no habit.
        events(40, ["seldom"], 600.0, |_| {}),
        events(50, ["seldom"], 300.0, |_| {}),
    ])
    .await;
    let columns = ["key_id", "days_used", "requests"];
    let rows = answer(&database.store, "silent_keys", &[], &columns).await;
    assert_eq!(rows, ["a | 3 | 3"]);
}

#[tokio::test]
async fn large_exports() {
    let bytes = |bytes: u64| move |e: &mut EnrichedEvent| e.event.bytes_out = Some(bytes);
    let database = stored(&[
        events(0, ["a", "b"], 120.0, bytes(100)),
        events(10, ["a", "b"], 96.0, bytes(100)),
        events(20, ["a", "b"], 72.0, bytes(120)),
        events(30, ["a", "a"], 24.0, bytes(1_000)),
        events(40, ["b"], 24.0, bytes(900)),
    ])
    .await;
    let columns = ["key_id", "bytes", "requests", "usual_bytes", "times_usual"];
    let rows = answer(&database.store, "large_exports", &[], &columns).await;
    assert_eq!(rows, ["a | 2000 | 2 | 100 | 20"]);
}

#[tokio::test]
async fn repeated_nonces() {
    let nonce = |nonce: u128, address: &'static str| {
        move |e: &mut EnrichedEvent| {
            e.event.nonce = Some(Nonce { fingerprint: Fingerprint(nonce), number: None });
            e.event.client_ip = address.parse().unwrap();
        }
    };
    let database = stored(&[
        events(0, ["a", "b"], 2.0, nonce(255, "192.0.2.1")),
        events(10, ["a"], 1.0, nonce(255, "198.51.100.9")),
        events(20, ["c"], 1.0, nonce(16, "192.0.2.1")),
        events(30, ["d", "d"], 1.0, |e| e.event.nonce = None),
    ])
    .await;
    let columns = ["key_id", "nonce", "requests", "accepted", "addresses"];
    let rows = answer(&database.store, "repeated_nonces", &[], &columns).await;
    assert_eq!(rows, ["a | FF | 2 | 2 | ['192.0.2.1','198.51.100.9']"]);
}

#[tokio::test]
async fn two_countries() {
    let japan = |e: &mut EnrichedEvent| e.origin = origin("JP", 1);
    let refused = |e: &mut EnrichedEvent| {
        e.origin = origin("JP", 1);
        e.event.status = 401;
    };
    let database = stored(&[
        events(0, ["a", "b", "c"], 2.0, |_| {}),
        events(10, ["a"], 2.0, japan),
        events(20, ["b"], 2.0, refused),
        events(30, ["c"], 12.0, japan),
    ])
    .await;
    let columns = ["key_id", "countries", "addresses", "requests"];
    let rows = answer(&database.store, "two_countries", &[], &columns).await;
    assert_eq!(rows, ["a | ['DE','JP'] | 1 | 2"]);
}

#[tokio::test]
async fn named_keys() {
    let refused = |e: &mut EnrichedEvent| e.event.status = 401;
    let authenticated = |e: &mut EnrichedEvent| {
        e.event.status = 429;
        e.event.authenticated = Some(true);
    };
    let database = stored(&[
        events(0, ["a", "b"], 1.0, |_| {}),
        events(10, ["a", "a", "unknown"], 1.0, refused),
        events(20, ["b"], 1.0, authenticated),
    ])
    .await;
    let columns = ["key_id", "attempts", "sources", "proven_requests"];
    let rows = answer(&database.store, "named_keys", &[], &columns).await;
    assert_eq!(rows, ["a | 2 | 1 | 1", "unknown | 1 | 1 | 0"]);
}
