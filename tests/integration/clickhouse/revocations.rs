//! Tests requests to revoke keys when several processes make them at the same time.

use keywatch::alert::{Action, Alert, AlertType, Restraint};
use keywatch::detect::Family;
use keywatch::event::EventTime;
use keywatch::respond::{KeyFacts, Spent};
use keywatch::store::{Store, StoredBatch};

use super::samples::{alert, batch, event, partition, unclaimed};
use crate::support::clickhouse::{database, lines};

/// Proposes to revoke a key of its own.
fn proposal(id: &str) -> Alert {
    let opened = alert(id, 1, &format!("key-{id}"), EventTime::now());
    Alert { alert_type: AlertType::Opened, action: Action::Revoke, dry_run: false, ..opened }
}

fn request(proposal: &Alert) -> Alert {
    let (alert_type, revision) = (AlertType::RevocationRequested, proposal.revision + 1);
    Alert { alert_type, revision, ..proposal.clone() }
}

fn spent(action: Action) -> Spent {
    Spent {
        time: EventTime::default(),
        action,
        key_id: "key".into(),
        tenant: Some("acme".into()),
        family: Some(Family::Replay),
        is_kept: true,
    }
}

async fn ask(store: &Store, number: u64, request: &Alert) {
    store.record_request(number, request, &spent(Action::Revoke)).await.unwrap();
}

async fn write(store: &Store, first_offset: i64, alerts: &[Alert]) {
    let partition = partition(0);
    let last_offset = first_offset + 9;
    let batch = StoredBatch { first_offset, last_offset, alerts, ..unclaimed(&partition) };
    store.write_batch(&batch).await.unwrap();
}

async fn proposed(store: &Store) -> Vec<(String, u32)> {
    let proposals = store.proposals().await.unwrap();
    let mut proposals: Vec<_> =
        proposals.into_iter().map(|it| (it.alert.id, it.alert.revision)).collect();
    proposals.sort();
    proposals
}

#[tokio::test]
async fn only_open_incidents_that_propose_a_revocation_and_have_no_request_are_proposals() {
    let database = database().await;
    let store = &database.store;
    let mild = Alert { action: Action::Throttle, ..proposal("mild") };
    let dry = Alert { dry_run: true, ..proposal("dry") };
    let closed = proposal("closed");
    let long_ago = EventTime::now().plus_seconds(-120.0);
    let resolved = |of: &Alert| Alert {
        alert_type: AlertType::Resolved,
        revision: of.revision + 2,
        ..of.clone()
    };
    let end = Alert { detected_at: long_ago, ..resolved(&closed) };
    // An incident that opened and closed since the last look, in a backlog.
    let brief = [proposal("brief"), resolved(&proposal("brief"))];
    let asked_before = request(&proposal("asked"));
    let goes_on = Alert { alert_type: AlertType::Updated, revision: 3, ..proposal("a") };
    let alerts =
        [mild, dry, closed, end, proposal("asked"), asked_before, proposal("a"), proposal("b")];
    write(store, 0, &alerts).await;
    write(store, 10, &[goes_on]).await;
    write(store, 20, &brief).await;
    let expected = [("a", 3), ("b", 1), ("brief", 1)].map(|(id, number)| (id.to_owned(), number));
    assert_eq!(proposed(store).await, expected);
    ask(store, 1, &request(&proposal("b"))).await;
    assert_eq!(proposed(store).await.len(), 2);
}

#[tokio::test]
async fn of_two_requests_under_one_number_the_first_one_stands() {
    let database = database().await;
    let (store, other) = (&database.store, Store::new(&database.config));
    assert_eq!(store.revocation_ledger().await.unwrap().next_number, 1);
    ask(store, 1, &request(&proposal("a"))).await;
    ask(&other, 1, &request(&proposal("b"))).await;
    // Repeats the request, as a process does after a lost reply.
    ask(store, 1, &request(&proposal("a"))).await;
    let ledger = other.revocation_ledger().await.unwrap();
    assert_eq!((ledger.next_number, ledger.spent.len()), (2, 1));
    let requests = "SELECT number, incident FROM revocation_requests";
    assert_eq!(lines(store, requests).await, ["1 a"]);
}

#[tokio::test]
async fn of_many_requests_under_one_number_at_the_same_time_one_stands() {
    let database = database().await;
    let processes = [(); 8].map(|()| Store::new(&database.config));
    for number in 1..=5 {
        let asked = processes.iter().enumerate().map(|(n, process)| async move {
            let request = request(&proposal(&format!("{number}-{n}")));
            ask(process, number, &request).await;
        });
        futures_util::future::join_all(asked).await;
    }
    let numbers = "SELECT number, count() FROM revocation_requests GROUP BY number ORDER BY number";
    let expected = [1, 2, 3, 4, 5].map(|number| format!("{number} 1"));
    assert_eq!(lines(&database.store, numbers).await, expected);
}

#[tokio::test]
async fn a_request_is_untold_until_its_alert_is_stored() {
    let database = database().await;
    let (store, other) = (&database.store, Store::new(&database.config));
    let request = request(&proposal("a"));
    ask(store, 1, &request).await;
    let own = store.untold_requests().await.unwrap();
    assert_eq!((own.len(), own[0].is_own, &own[0].alert), (1, true, &request));
    assert!(!other.untold_requests().await.unwrap()[0].is_own);
    store.write_alerts_until_done(std::slice::from_ref(&request)).await.unwrap();
    assert!(store.untold_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_suspension_is_proposed_until_it_is_requested_and_a_revocation_after_it() {
    let database = database().await;
    let store = &database.store;
    let suspend = Alert { action: Action::Suspend, ..proposal("a") };
    write(store, 0, std::slice::from_ref(&suspend)).await;
    assert_eq!(proposed(store).await, [("a".to_owned(), 1)]);
    let asked =
        Alert { alert_type: AlertType::SuspensionRequested, revision: 2, ..suspend.clone() };
    store.record_request(1, &asked, &spent(Action::Suspend)).await.unwrap();
    assert_eq!(proposed(store).await, []);
    let worse = Alert { alert_type: AlertType::Updated, revision: 6, ..proposal("a") };
    write(store, 10, &[worse]).await;
    assert_eq!(proposed(store).await, [("a".to_owned(), 6)]);
    let ledger = store.revocation_ledger().await.unwrap();
    let first = &ledger.spent[0];
    assert_eq!(
        *first,
        Spent { time: first.time, key_id: "key-a".into(), ..spent(Action::Suspend) }
    );
}

#[tokio::test]
async fn proposals_say_what_they_wait_for_and_nobody_crowds_out_another_tenant() {
    let database = database().await;
    let store = &database.store;
    let of = |tenant: &str, alert: Alert| Alert { tenant: Some(tenant.into()), ..alert };
    let mut alerts: Vec<Alert> =
        (0..2_100).map(|n| of("mallory", proposal(&format!("m{n:04}")))).collect();
    let later = EventTime::now().plus_seconds(60.0);
    let victim = of("victim", Alert { first_event_time: later, ..proposal("victim") });
    let waits = Alert {
        alert_type: AlertType::Updated,
        revision: 2,
        restraint: Some(Restraint::Budget),
        ..victim.clone()
    };
    alerts.extend([victim, waits]);
    write(store, 0, &alerts).await;
    let proposals = store.proposals().await.unwrap();
    assert_eq!(proposals.len(), 2_000);
    let found = proposals.iter().find(|it| it.alert.id == "victim").unwrap();
    assert_eq!((found.alert.revision, &found.told[..]), (2, &[Restraint::Budget][..]));
    assert!(found.is_own);
}

/// Requests that only name a key make it neither busy nor productive, nor do those of its thief.
#[tokio::test]
async fn facts_of_a_key_are_those_of_its_accepted_requests() {
    let database = database().await;
    let store = &database.store;
    let now = EventTime::now();
    let events: Vec<_> = (0..20)
        .map(|n| {
            let mut event = event(n, now.plus_seconds(n as f64 - 60.0), "key");
            if n >= 5 {
                event.event.status = 401;
                event.event.environment = Some("forged".into());
            }
            event
        })
        .collect();
    let partition = partition(0);
    store.write_batch(&batch(&partition, &events)).await.unwrap();
    let begin = now.plus_seconds(-56.5);
    let facts = store.key_facts(&[("key", begin), ("unknown", now)]).await.unwrap();
    let expected = KeyFacts { requests: 4, environment: "production".into() };
    assert_eq!(facts, [("key".to_owned(), expected)]);
    assert_eq!(store.keys_in_use().await.unwrap(), 1);
}
