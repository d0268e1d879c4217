//! Tests requests to revoke keys when several processes make them at the same time.

use keywatch::alert::{Action, Alert, AlertType};
use keywatch::event::EventTime;
use keywatch::store::{Store, StoredBatch};

use super::samples::{alert, partition, unclaimed};
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

async fn write(store: &Store, first_offset: i64, alerts: &[Alert]) {
    let partition = partition(0);
    let last_offset = first_offset + 9;
    let batch = StoredBatch { first_offset, last_offset, alerts, ..unclaimed(&partition) };
    store.write_batch(&batch).await.unwrap();
}

async fn proposed(store: &Store) -> Vec<(String, u32)> {
    let proposals = store.revocation_proposals().await.unwrap();
    let mut proposals: Vec<_> = proposals.into_iter().map(|it| (it.id, it.revision)).collect();
    proposals.sort();
    proposals
}

#[tokio::test]
async fn only_open_incidents_that_propose_a_revocation_and_have_no_request_are_proposals() {
    let database = database().await;
    let store = &database.store;
    let mild = Alert { action: Action::Suspend, ..proposal("mild") };
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
    store.request_revocation(1, &request(&proposal("b"))).await.unwrap();
    assert_eq!(proposed(store).await.len(), 2);
}

#[tokio::test]
async fn of_two_requests_under_one_number_the_first_one_stands() {
    let database = database().await;
    let (store, other) = (&database.store, Store::new(&database.config));
    assert_eq!(store.revocation_ledger().await.unwrap().next_number, 1);
    store.request_revocation(1, &request(&proposal("a"))).await.unwrap();
    other.request_revocation(1, &request(&proposal("b"))).await.unwrap();
    // Repeats the request, as a process does after a lost reply.
    store.request_revocation(1, &request(&proposal("a"))).await.unwrap();
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
            process.request_revocation(number, &request).await.unwrap();
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
    store.request_revocation(1, &request).await.unwrap();
    let own = store.untold_requests().await.unwrap();
    assert_eq!((own.len(), own[0].is_own, &own[0].alert), (1, true, &request));
    assert!(!other.untold_requests().await.unwrap()[0].is_own);
    store.write_alerts_until_done(std::slice::from_ref(&request)).await.unwrap();
    assert!(store.untold_requests().await.unwrap().is_empty());
}
