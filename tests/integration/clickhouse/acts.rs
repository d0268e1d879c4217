//! Tests how acts of people are stored, and that the fold in SQL is the fold of the program.

use std::collections::BTreeMap;

use keywatch::alert::{Alert, AlertType, CloseReason, DetectorId, Severity};
use keywatch::event::EventTime;
use keywatch::store::{Store, StoredBatch};
use keywatch::workflow::{Act, Course, Kind, Origin, Seen};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use strum::VariantArray;

use super::samples::{alert, partition, unclaimed};
use crate::support::clickhouse::{TestDatabase, database, lines};

pub fn act(incident: &str, id: &str, kind: Kind, seen: &Alert) -> Act {
    Act {
        incident: incident.into(),
        id: id.into(),
        time: EventTime::default(),
        who: format!("author of {id}"),
        origin: Origin::CommandLine,
        kind,
        reason: match kind {
            Kind::Confirm => Some(CloseReason::Theft),
            Kind::Dismiss => Some(CloseReason::FalseTravel),
            _ => None,
        },
        assignee: (kind == Kind::Assign).then(|| format!("assignee of {id}")),
        text: "it's \u{202e}\\ \n odd".into(),
        seen: Seen::of(seen),
        quiet_seconds: if kind.closes() { 3_600 } else { 0 },
    }
}

pub async fn store_alerts(store: &Store, first_offset: i64, alerts: &[Alert]) {
    let partition = partition(0);
    let batch =
        StoredBatch { first_offset, last_offset: first_offset, alerts, ..unclaimed(&partition) };
    store.write_batch(&batch).await.unwrap();
}

async fn course(store: &Store, incident: &str) -> Course {
    Course::of(store.acts_of(&[incident]).await.unwrap())
}

#[tokio::test]
async fn an_act_reads_back_whole_and_storing_it_again_changes_nothing() {
    let database = database().await;
    let store = &database.store;
    let seen = alert("a", 1, "key-a", EventTime::now());
    for kind in Kind::VARIANTS {
        let act = act("a", kind.as_str(), *kind, &seen);
        store.record_acts(std::slice::from_ref(&act)).await.unwrap();
        store.record_acts(std::slice::from_ref(&act)).await.unwrap();
        let read = store.acts_of(&["a"]).await.unwrap();
        let read: Vec<_> = read.into_iter().filter(|it| it.id == act.id).collect();
        assert_eq!(read.len(), 1);
        assert!(read[0].time > seen.detected_at);
        assert_eq!(Act { time: act.time, ..read[0].clone() }, act);
    }
    assert_eq!(store.acts_since(None).await.unwrap().len(), Kind::VARIANTS.len());
    let latest = course(store, "a").await.last();
    assert_eq!(store.acts_since(latest).await.unwrap().len(), Kind::VARIANTS.len());
    let later = latest.map(|time| time.plus_seconds(3_600.0));
    assert_eq!(store.acts_since(later).await.unwrap(), []);
}

#[tokio::test]
async fn an_act_comes_after_those_that_its_author_knew_though_the_clock_was_set_back() {
    let database = database().await;
    let store = &database.store;
    let seen = alert("a", 1, "key-a", EventTime::now());
    let tomorrow = EventTime::now().plus_seconds(86_400.0);
    let dismissed = Act { time: tomorrow, ..act("a", "z", Kind::Dismiss, &seen) };
    store.record_acts(&[dismissed]).await.unwrap();
    let known = course(store, "a").await.last().unwrap();
    assert!(known > tomorrow);
    let reopened = Act { time: known, ..act("a", "a", Kind::Reopen, &seen) };
    store.record_acts(&[reopened]).await.unwrap();
    let course = course(store, "a").await;
    assert!(course.standing.closing().is_none(), "{course:#?}");
    assert!(course.steps.iter().all(|(_, obstacle)| obstacle.is_none()));
}

#[tokio::test]
async fn of_many_people_who_close_an_incident_at_once_one_counts_and_all_others_are_told() {
    let database = database().await;
    let people = [(); 8].map(|()| Store::new(&database.config));
    let seen = alert("a", 1, "key-a", EventTime::now());
    let closings = people.iter().enumerate().map(|(n, person)| {
        let kind = if n % 2 == 0 { Kind::Confirm } else { Kind::Dismiss };
        let act = act("a", &n.to_string(), kind, &seen);
        async move { person.record_acts(&[act]).await.unwrap() }
    });
    futures_util::future::join_all(closings).await;
    let told: Vec<Course> =
        futures_util::future::join_all(people.iter().map(|person| course(person, "a"))).await;
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]));
    let took = told[0].steps.iter().filter(|(_, obstacle)| obstacle.is_none()).count();
    assert_eq!((told[0].steps.len(), took), (8, 1));
}

const DETECTORS: [DetectorId; 3] =
    [DetectorId::RateSpike, DetectorId::DuplicateNonce, DetectorId::NewAsn];

/// An incident with random revisions.
fn random_incident(random: &mut ChaCha8Rng, id: &str, now: EventTime) -> Vec<Alert> {
    let revisions = random.random_range(1..5);
    (1..=revisions)
        .map(|revision| {
            let is_last = revision == revisions && revision > 1;
            let known = random.random_range(1..=DETECTORS.len());
            Alert {
                alert_type: match revision {
                    1 => AlertType::Opened,
                    _ if is_last && random.random_bool(0.4) => AlertType::Resolved,
                    _ if random.random_bool(0.2) => AlertType::RevocationRequested,
                    _ => AlertType::Updated,
                },
                severity: *Severity::ALL.choose(random).unwrap(),
                detectors: DETECTORS[..known].to_vec(),
                detected_at: now.plus_seconds(random.random_range(-3_000.0..3_000.0)),
                ..alert(id, revision, "key", now)
            }
        })
        .collect()
}

fn random_acts(random: &mut ChaCha8Rng, id: &str, revisions: &[Alert]) -> Vec<Act> {
    let count = random.random_range(1..6);
    (0..count)
        .map(|n| {
            let kind = *Kind::VARIANTS.choose(random).unwrap();
            let seen = revisions.choose(random).unwrap();
            let quiet_seconds = if kind.closes() { random.random_range(0..2_000) } else { 0 };
            Act { quiet_seconds, ..act(id, &format!("{id}-{n}"), kind, seen) }
        })
        .collect()
}

/// Stores random incidents with random acts, all at about the same time.
async fn random_cases(database: &TestDatabase) -> BTreeMap<String, Vec<Alert>> {
    let mut random = ChaCha8Rng::seed_from_u64(14);
    let now = EventTime::now();
    let mut cases = BTreeMap::new();
    let mut acts = Vec::new();
    for n in 0..400 {
        let id = format!("inc_{n:03}");
        let revisions = random_incident(&mut random, &id, now);
        if random.random_bool(0.9) {
            acts.push(random_acts(&mut random, &id, &revisions));
        }
        cases.insert(id, revisions);
    }
    let alerts: Vec<Alert> = cases.values().flatten().cloned().collect();
    store_alerts(&database.store, 0, &alerts).await;
    // Round by round: acts of one block have one time, and their ids order them.
    for round in 0..6 {
        let block: Vec<Act> = acts.iter().filter_map(|acts| acts.get(round)).cloned().collect();
        database.store.record_acts(&block).await.unwrap();
    }
    cases
}

#[tokio::test]
async fn the_state_in_sql_is_the_state_of_the_program() {
    let database = database().await;
    let cases = random_cases(&database).await;
    let store = &database.store;
    let in_sql = "SELECT evidence.id, \
            multiIf(people.state != '', people.state, ended, 'closed', 'open'), \
            if(people.close_reason = '', '-', people.close_reason), \
            if(people.assignee = '', '-', people.assignee) \
        FROM (SELECT id, argMax(type, revision) = 'alert.resolved' AS ended FROM alerts GROUP BY id) \
            AS evidence \
        LEFT JOIN incident_states AS people ON people.incident = evidence.id ORDER BY id";
    let in_sql = lines(store, in_sql).await;
    let mut states = BTreeMap::new();
    for ((id, revisions), line) in cases.iter().zip(&in_sql) {
        let course = course(store, id).await;
        let standing = &course.standing;
        let closing = standing.closing_in_force(revisions);
        let reason = closing.and_then(|it| it.reason).map_or("-", CloseReason::as_str);
        let assignee = standing.assignee.as_deref().unwrap_or("-");
        let state = standing.state(revisions);
        let expected = format!("{id} {state} {reason} {assignee}");
        assert_eq!(*line, expected, "{course:#?} {revisions:#?}");
        *states.entry((state.as_str(), closing.is_some())).or_insert(0) += 1;
    }
    assert_eq!(in_sql.len(), cases.len());
    // The cases are of every kind.
    assert!(states.len() == 4 && states.values().all(|count| *count > 10), "{states:?}");
}
