//! The stream of alerts.

use keywatch::event::EventTime;

use super::store_alerts;
use crate::clickhouse::samples::alert;
use crate::support::clickhouse::database;
use crate::support::console::Console;

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_gets_what_happens_and_after_a_break_what_it_missed() {
    let database = database().await;
    let console = Console::start(&database.config);
    let now = EventTime::now();
    store_alerts(&database.store, 0, &[alert("inc_before", 1, "key-a", now)]).await;

    let mut stream = console.stream(None);
    assert_eq!(stream.next(":"), "alerts of Keywatch");
    let live = alert("inc_live", 1, "key-a", EventTime::now().plus_seconds(1.0));
    store_alerts(&database.store, 1, std::slice::from_ref(&live)).await;
    // The alert of before may be younger than the first look of the service.
    let (id, event) = loop {
        let (id, event) = stream.event();
        if event["id"] != "inc_before" {
            break (id, event);
        }
    };
    assert_eq!(event, serde_json::to_value(&live).unwrap());
    drop(stream);

    let missed: Vec<_> = (2..5)
        .map(|n| alert("inc_missed", n, "key-a", EventTime::now().plus_seconds(1.0 + f64::from(n))))
        .collect();
    store_alerts(&database.store, 2, &missed).await;
    let mut stream = console.stream(Some(&id));
    let mut revisions = Vec::new();
    while revisions.len() < 3 {
        let (_, event) = stream.event();
        if event["id"] == "inc_missed" {
            revisions.push(event["revision"].as_u64().unwrap());
        }
        assert_ne!((event["id"].as_str(), event["revision"].as_u64()), (Some("inc_live"), Some(1)));
    }
    assert_eq!(revisions, [2, 3, 4]);

    store_alerts(
        &database.store,
        3,
        &[alert("inc_next", 1, "k", EventTime::now().plus_seconds(9.0))],
    )
    .await;
    while stream.event().1["id"] != "inc_next" {}
}

#[tokio::test]
async fn readers_are_bounded_and_their_places_are_given_back() {
    let database = database().await;
    let console = Console::start(&database.config);
    let status = || {
        let host = ("host", console.address.as_str());
        console.send("GET", "/v1/alerts/stream", &[host, ("last-event-id", "x")]).status
    };
    assert_eq!(status(), 400);
    let mut streams: Vec<_> = (0..64).map(|_| console.stream(None)).collect();
    for stream in &mut streams {
        stream.next(":");
    }
    let refused = console.send("GET", "/v1/alerts/stream", &[("host", &console.address)]);
    assert_eq!(refused.status, 503);
    assert!(refused.headers.contains("retry-after"), "{}", refused.headers);
    // Pages have connections of their own.
    assert_eq!(console.get("/incidents").status, 200);
}
