//! Tests the queries about addresses, routes and requests of several keys.

use keywatch::event::EnrichedEvent;

use super::{answer, events, hours_ago, stored};
use crate::clickhouse::samples::origin;

#[tokio::test]
async fn shared_addresses() {
    let address =
        |text: &'static str| move |e: &mut EnrichedEvent| e.event.client_ip = text.parse().unwrap();
    let database = stored(&[
        events(0, ["a", "b", "b"], 1.0, address("198.51.100.9")),
        events(10, ["c", "c"], 1.0, address("198.51.100.8")),
        events(20, ["a", "c"], 1.0, address("2001:db8::9")),
    ])
    .await;
    let columns = ["address", "keys_used", "some_keys", "requests"];
    let rows = answer(&database.store, "shared_addresses", &[], &columns).await;
    assert_eq!(rows, ["198.51.100.9 | 2 | ['a','b'] | 3", "2001:db8::9 | 2 | ['a','c'] | 2"]);
}

#[tokio::test]
async fn latency_by_route() {
    let route = |path: &'static str, ms: f32| {
        move |e: &mut EnrichedEvent| {
            e.event.path = path.into();
            e.event.latency_ms = Some(ms);
        }
    };
    let database = stored(&[
        events(0, ["a"; 20], 0.2, route("/fast", 5.0)),
        events(30, ["a"; 20], 0.2, route("/slow", 800.0)),
        events(60, ["a"; 20], 0.2, |e| e.event.latency_ms = None),
    ])
    .await;
    let columns = ["path", "requests", "p50_ms", "p99_ms"];
    let rows = answer(&database.store, "latency_by_route", &[], &columns).await;
    assert_eq!(rows, ["/slow | 20 | 800 | 800", "/fast | 20 | 5 | 5"]);
}

fn from(address: &'static str, status: u16) -> impl Fn(&mut EnrichedEvent) {
    move |e| {
        e.event.client_ip = address.parse().unwrap();
        e.event.status = status;
    }
}

#[tokio::test]
async fn top_sources() {
    let database = stored(&[
        events(0, ["a", "b", "c"], 1.0, from("198.51.100.9", 401)),
        events(10, ["a", "a"], 1.0, from("198.51.100.9", 200)),
        events(20, ["a"; 4], 1.0, from("2001:db8:5:6::9", 200)),
        events(30, ["b"; 4], 2.0, from("2001:db8:5:6::a", 429)),
        events(40, ["z"; 90], 30.0, from("198.51.100.8", 200)),
    ])
    .await;
    let columns = [
        "source",
        "requests",
        "accepted",
        "refused",
        "throttled",
        "keys_named",
        "keys_used",
        "country",
    ];
    let rows = answer(&database.store, "top_sources", &[], &columns).await;
    assert_eq!(
        rows,
        [
            "2001:db8:5:6::/64 | 8 | 4 | 0 | 4 | 2 | 1 | DE",
            "198.51.100.9 | 5 | 2 | 3 | 0 | 3 | 1 | DE"
        ]
    );
}

#[tokio::test]
async fn source_abuse() {
    let database = stored(&[
        events(0, ["a", "b", "c", "d", "e", "e"], 1.0, from("198.51.100.9", 401)),
        events(10, ["a"], 1.0, from("198.51.100.9", 200)),
        events(20, ["a", "b"], 1.0, from("198.51.100.8", 401)),
        events(30, ["a", "b", "c", "d", "e"], 1.0, from("198.51.100.7", 200)),
    ])
    .await;
    let columns = ["source", "requests", "keys_refused", "keys_used", "refused"];
    // The requests may lie on both sides of midnight, and then on no other day.
    let rows = answer(&database.store, "source_abuse", &[], &columns).await;
    assert_eq!(rows, ["198.51.100.9 | 7 | 5 | 1 | 6"]);
    let rows = answer(&database.store, "source_abuse", &[("keys", "1")], &["source"]).await;
    assert_eq!(rows, ["198.51.100.9", "198.51.100.8"]);
}

#[tokio::test]
async fn guessed_then_used() {
    let database = stored(&[
        events(0, ["before"], 5.0, from("198.51.100.9", 200)),
        events(10, ["a", "b", "c", "d"], 4.0, from("198.51.100.9", 403)),
        events(20, ["d", "d"], 3.0, from("198.51.100.9", 200)),
        events(30, ["a", "b"], 4.0, from("198.51.100.8", 401)),
        events(40, ["b"], 3.0, from("198.51.100.8", 200)),
    ])
    .await;
    let columns = ["key_id", "address", "keys_refused", "requests"];
    let rows = answer(&database.store, "guessed_then_used", &[], &columns).await;
    assert_eq!(rows, ["d | 198.51.100.9 | 4 | 2"]);
}

#[tokio::test]
async fn rare_routes() {
    let path = |path: &'static str| move |e: &mut EnrichedEvent| e.event.path = path.into();
    let database = stored(&[
        events(0, ["a"], 1.0, path("/v1/users/17")),
        events(10, ["b"], 1.0, path("/v1/users/18")),
        events(20, ["c"], 1.0, path("/v1/users/3f2b9c0f6a1b2d3e4f50")),
        events(30, ["a"], 2.0, path("/admin/keys")),
    ])
    .await;
    let columns = ["method", "route", "keys_used", "some_keys", "requests"];
    let rows = answer(&database.store, "rare_routes", &[], &columns).await;
    assert_eq!(rows, ["GET | /admin/keys | 1 | ['a'] | 1"]);
    let rows = answer(&database.store, "rare_routes", &[("keys", "3")], &columns).await;
    assert_eq!(rows[0], "GET | /v1/users/:id | 3 | ['a','b','c'] | 3");
}

#[tokio::test]
async fn hunt() {
    let database = stored(&[
        events(0, ["a", "b"], 1.0, from("198.51.100.9", 200)),
        events(10, ["b"], 2.0, |e| {
            e.event.client_ip = "2001:db8::9".parse().unwrap();
            e.event.user_agent = Some("Python-Requests/2".into());
            e.event.client_fingerprint = Some("ja4".into());
            e.event.path = "/v1/under_score".into();
            e.event.method = "POST".into();
            e.origin = origin("BR", 7);
        }),
        events(20, ["c"], 30.0, |_| {}),
    ])
    .await;
    let found = async |values: &[(&str, &str)]| {
        answer(&database.store, "hunt", values, &["key_id", "address"]).await
    };
    let b = "b | 2001:db8::9";
    assert_eq!(found(&[("key", "b")]).await, ["b | 198.51.100.9", b]);
    assert_eq!(found(&[("address", "2001:db8::9")]).await, [b]);
    assert_eq!(found(&[("network", "2001:db8::/32")]).await, [b]);
    assert_eq!(found(&[("address", "198.51.100.9"), ("key", "a")]).await, ["a | 198.51.100.9"]);
    for filter in [
        ("asn", "7"),
        ("client", "python-requests"),
        ("client", "ja4"),
        ("route", "/v1/under\\_%"),
        ("method", "POST"),
    ] {
        assert_eq!(found(&[filter]).await, [b], "{filter:?}");
    }
    assert_eq!(found(&[("route", "/v1/o\\_%")]).await, [""; 0]);
    let since = hours_ago(1.5).as_micros().to_string();
    assert_eq!(found(&[("since", &since)]).await.len(), 2);
    assert_eq!(found(&[("until", &since)]).await, [b, "c | 192.0.2.1"]);
    assert_eq!(found(&[("limit", "1")]).await.len(), 1);
}
