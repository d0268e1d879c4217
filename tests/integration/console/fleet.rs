//! The page of the fleet.

use keywatch::alert::{Action, Alert, DetectorId};
use keywatch::event::EventTime;
use keywatch::workflow::Kind;

use super::store_alerts;
use crate::clickhouse::acts::act;
use crate::clickhouse::samples::{alert, batch, partition, varied_events};
use crate::support::clickhouse::database;
use crate::support::console::Console;
use crate::support::eventually::{LIMIT, eventually_blocking};

/// One incident every three hours, each about another key, on evidence of one family.
fn replays(now: EventTime) -> Vec<Alert> {
    let replay = |n: i32| {
        let at = now.plus_seconds(-10_800.0 * f64::from(n));
        Alert {
            tenant: None,
            action: Action::Revoke,
            detectors: vec![DetectorId::DuplicateNonce],
            detected_event_time: at,
            ..alert(&format!("inc_{n}"), 1, &format!("key-{n}"), at)
        }
    };
    (0..30).map(replay).collect()
}

#[tokio::test]
async fn the_fleet_page_tells_promises_blind_detectors_and_coverage() {
    let database = database().await;
    let now = EventTime::now();
    let events = varied_events(500, 0, now.plus_seconds(-400.0), 0.5);
    database.store.write_batch(&batch(&partition(0), &events)).await.unwrap();
    store_alerts(&database.store, 500, &replays(now)).await;
    let confirmed = act("inc_0", "act_1", Kind::Confirm, &replays(now)[0]);
    database.store.record_acts(&[confirmed]).await.unwrap();

    let console = Console::start(&database.config);
    eventually_blocking("the process has said what it runs", LIMIT, || {
        let page = console.get("/fleet").body;
        page.contains("policy <strong><bdi>default") && page.contains("judges with the model")
    });
    let page = console.get("/fleet");
    let row = |table: &str, name: &str| {
        let (_, rest) = page.body.split_once(&format!("id=\"{table}\"")).unwrap();
        let rows = rest.split("</section>").next().unwrap().split("<tr>");
        let found = rows.into_iter().find(|row| row.contains(name));
        found.unwrap_or_else(|| panic!("no {name} in {rest}")).to_owned()
    };
    let replay = row("promises", ">replay<");
    assert!(replay.contains("30") && replay.contains("broken"), "{replay}");
    assert!(page.body.contains("Of 1 incident that people closed"));
    assert!(row("promises", ">place<").contains("holds"));
    // The samples carry no such field, and no canary is registered.
    assert!(row("detectors", "client.<wbr>new_<wbr>fingerprint").contains("blind"));
    assert!(row("detectors", "canary_<wbr>use").contains("no canary key is registered"));
    let weak = row("detectors", "replay.<wbr>duplicate_<wbr>nonce");
    assert!(weak.contains(">yes<") && weak.contains("at once") && weak.contains(">30<"), "{weak}");
    assert!(row("techniques", ">T1550<").contains("Use Alternate Authentication Material"));
    assert!(row("techniques", ">T1552<").contains("none"), "only canaries are its sign");
    assert!(page.body.len() < 100_000, "{}", page.body.len());
}
