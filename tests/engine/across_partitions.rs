//! Sources whose attempts are spread over partitions: judged together, told once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use keywatch::alert::{Alert, AlertType, DetectorId};
use keywatch::engine::{Engine, NetworkVerdict};
use keywatch::event::{EnrichedEvent, PartitionId, ShardId};
use keywatch::profile::stuffing::{SourceAttempt, network_of};
use proptest::prelude::*;

use crate::scene::{HOSTER, LONDON, Place, SYDNEY, Scene};
use crate::{DAY, HOUR};

const PARTITIONS: usize = 8;
const RENTED: Place = Place { asn: HOSTER, ip: "203.0.113.66", ..SYDNEY };

/// One engine for each partition, as if each were a process.
struct Fleet {
    engines: Vec<Engine>,
    /// What they have handed out, in the order of the times.
    attempts: Vec<SourceAttempt>,
    alerts: Vec<Alert>,
}

fn partition_of(key: &str) -> usize {
    key.bytes().fold(0usize, |hash, byte| hash * 31 + usize::from(byte)) % PARTITIONS
}

impl Fleet {
    fn read(scene: &Scene) -> Self {
        let mut fleet = Self { engines: Vec::new(), attempts: Vec::new(), alerts: Vec::new() };
        let events = scene.events();
        for number in 0..PARTITIONS {
            let here = |event: &&EnrichedEvent| partition_of(&event.event.key_id) == number;
            let events: Vec<_> = events.iter().filter(here).cloned().collect();
            fleet.read_partition(number as i32, &events);
        }
        fleet.attempts.sort_by_key(|attempt| (attempt.time, attempt.partition.partition));
        fleet
    }

    fn read_partition(&mut self, number: i32, events: &[EnrichedEvent]) {
        let partition = PartitionId { topic: "log".into(), partition: number };
        let mut engine = Scene::engine();
        engine.set_partition_count(PARTITIONS);
        for events in events.chunks(500) {
            let shard = ShardId::Partition(number);
            let outcome = engine.process(shard, &partition, events, None);
            self.alerts.extend(outcome.alerts);
            self.attempts.extend(outcome.attempts);
        }
        self.engines.push(engine);
    }

    /// By every process, network by network.
    fn verdicts(&mut self, attempts: &[SourceAttempt]) -> Vec<NetworkVerdict> {
        let mut networks: BTreeMap<_, Vec<SourceAttempt>> = BTreeMap::new();
        for attempt in attempts {
            networks.entry(network_of(attempt.client_ip)).or_default().push(attempt.clone());
        }
        let judge = |attempts: &Vec<SourceAttempt>| {
            let verdicts = self.engines.iter_mut().map(|engine| {
                let home = engine.home_of(attempts[0].client_ip);
                assert!((0..PARTITIONS as i32).contains(&home));
                engine.judge_network(attempts, None)
            });
            let mut verdicts: Vec<_> = verdicts.collect();
            let told = verdicts.iter().map(|verdict| opened(&verdict.alerts));
            let told: Vec<_> = told.collect();
            assert!(told.iter().all(|ids| *ids == told[0]), "processes agree");
            verdicts.swap_remove(0)
        };
        networks.values().map(judge).collect()
    }

    fn verdict(&mut self) -> NetworkVerdict {
        let attempts = self.attempts.clone();
        let mut suspicious = self.verdicts(&attempts);
        suspicious.retain(|verdict| !verdict.alerts.is_empty());
        assert!(suspicious.len() <= 1);
        suspicious.pop().unwrap_or_default()
    }
}

fn opened(alerts: &[Alert]) -> Vec<&str> {
    let opened = alerts.iter().filter(|alert| alert.alert_type == AlertType::Opened);
    opened.map(|alert| alert.id.as_str()).collect()
}

fn about_sources(alerts: &[Alert]) -> usize {
    alerts.iter().filter(|alert| alert.source_ip.is_some()).count()
}

/// Keys in London, a request every five minutes each for a day.
fn customers(scene: &mut Scene, keys: u32) {
    for key in 0..keys {
        scene.steady(&format!("key-{key}"), LONDON, f64::from(key), DAY, 300.0);
    }
}

/// So many keys that no partition has enough of them, one every ten seconds.
fn thin_list() -> Scene {
    let mut scene = Scene::new();
    customers(&mut scene, 16);
    for n in 0..20 {
        scene.request(&format!("invented-{n}"), RENTED, DAY + 10.0 * f64::from(n)).status(401);
    }
    scene.request("key-7", RENTED, DAY + 55.0);
    scene
}

#[test]
fn a_list_too_thin_for_any_partition_is_one_incident() {
    let mut fleet = Fleet::read(&thin_list());
    assert_eq!(about_sources(&fleet.alerts), 0, "no partition tells of a source");
    for number in 0..PARTITIONS as i32 {
        let here = |attempt: &&SourceAttempt| attempt.partition.partition == number;
        let alone: Vec<_> = fleet.attempts.iter().filter(here).cloned().collect();
        let verdicts = fleet.verdicts(&alone);
        assert!(verdicts.iter().all(|verdict| verdict.alerts.is_empty()), "{number} alone");
    }
    let verdict = fleet.verdict();
    assert_eq!(opened(&verdict.alerts).len(), 1);
    let first = &verdict.alerts[0];
    assert_eq!(first.source_ip.unwrap().to_string(), RENTED.ip);
    assert_eq!(verdict.alerts.last().unwrap().affected_keys, ["key-7"]);
}

/// One key that does not exist every half hour, so that no hour has a list.
#[test]
fn a_list_that_is_tried_over_a_day_is_one_incident() {
    let mut scene = Scene::new();
    customers(&mut scene, 16);
    for n in 0..40 {
        let time = 2.0 * HOUR + 1_800.0 * f64::from(n);
        scene.request(&format!("invented-{n}"), RENTED, time).status(401);
    }
    let mut fleet = Fleet::read(&scene);
    assert_eq!(about_sources(&fleet.alerts), 0, "no partition sees it");
    let verdict = fleet.verdict();
    assert_eq!(opened(&verdict.alerts).len(), 1, "{:#?}", verdict.alerts);
    assert_eq!(verdict.alerts[0].detectors, [DetectorId::CredentialStuffing]);

    // The store forgets a day after a while, and forgets its first rows first.
    let mut ids = |from: usize| -> BTreeSet<String> {
        let attempts: Vec<_> = fleet.attempts[from..].to_vec();
        let alerts = fleet.verdicts(&attempts).into_iter().flat_map(|verdict| verdict.alerts);
        alerts.map(|alert| alert.id).collect()
    };
    let whole = ids(0);
    assert_eq!(whole.len(), 1);
    assert_eq!(ids(12), whole, "the same list under another name");
}

#[test]
fn the_key_that_was_answered_is_raised_where_it_is_and_nowhere_else() {
    let mut fleet = Fleet::read(&thin_list());
    let leaks = fleet.verdict().leaks;
    assert_eq!(leaks.iter().map(|leak| leak.key_id.as_str()).collect::<Vec<_>>(), ["key-7"]);
    for (number, engine) in fleet.engines.iter_mut().enumerate() {
        let alerts = engine.raise(&leaks[0], false, None);
        assert_eq!(!alerts.is_empty(), number == partition_of("key-7"), "{number}");
        for alert in &alerts {
            assert_eq!(alert.key_id.as_deref(), Some("key-7"));
            assert!(alert.detectors.contains(&DetectorId::CredentialStuffing), "{alert:?}");
            assert_eq!(alert.position.partition, number as i32);
        }
        assert!(engine.raise(&leaks[0], false, None).is_empty(), "told already");
    }
}

#[test]
fn a_key_that_was_told_before_is_not_opened_again() {
    let mut scene = thin_list();
    // A day later its incident is closed.
    scene.steady("key-7", LONDON, 2.0 * DAY, 600.0, 60.0);
    let mut fleet = Fleet::read(&scene);
    let leak = fleet.verdict().leaks.remove(0);
    let engine = &mut fleet.engines[partition_of("key-7")];
    assert!(opened(&engine.raise(&leak, true, None)).is_empty());
    let raised = engine.raise(&leak, false, None);
    assert_eq!(opened(&raised).len(), 1);
    assert_eq!(raised[0].first_event_time, scene.at(DAY + 55.0), "named after its own request");
}

#[test]
fn attempts_are_handed_out_once_an_hour_for_each_machine_key_and_answer() {
    let mut scene = Scene::new();
    customers(&mut scene, 16);
    for n in 0..400 {
        scene.request("invented", RENTED, DAY + f64::from(n)).status(401);
    }
    let fleet = Fleet::read(&scene);
    let refused = fleet.attempts.iter().filter(|attempt| attempt.is_refused).count();
    assert_eq!(refused, 1);
    // Until it is known where a key is at home, it is away from there, wherever it is.
    assert!(fleet.attempts.len() < 1 + 2 * 16, "{}", fleet.attempts.len());
}

#[test]
fn keys_that_are_refused_at_home_make_no_source() {
    let mut scene = Scene::new();
    customers(&mut scene, 40);
    for n in 0..200 {
        let time = DAY + 10.0 * f64::from(n);
        scene.request(&format!("key-{}", n % 40), LONDON, time).status(403);
    }
    let mut fleet = Fleet::read(&scene);
    assert!(fleet.verdict().alerts.is_empty());
}

#[test]
fn a_proxy_with_many_keys_and_a_few_wrong_ones_is_ordinary() {
    let mut scene = Scene::new();
    customers(&mut scene, 200);
    for n in 0..24 {
        let time = 0.2 * DAY + 900.0 * f64::from(n);
        scene.request(&format!("mistyped-{n}"), LONDON, time).status(401);
    }
    let mut fleet = Fleet::read(&scene);
    assert!(fleet.verdict().alerts.is_empty());
}

#[test]
fn the_incident_closes_when_the_logs_have_been_quiet_of_it() {
    let mut scene = thin_list();
    let mut fleet = Fleet::read(&scene);
    let types = |alerts: &[Alert]| alerts.last().map(|alert| alert.alert_type);
    let open = fleet.verdict();
    assert_ne!(types(&open.alerts), Some(AlertType::Resolved));
    customers(&mut scene, 16);
    scene.steady("key-1", LONDON, DAY, 0.1 * DAY, 60.0);
    let mut fleet = Fleet::read(&scene);
    // Each process has its own logs; the one that has come far enough says so.
    let attempts = fleet.attempts.clone();
    let further = &mut fleet.engines[partition_of("key-1")];
    let closed = further.judge_network(&attempts_from(&attempts, RENTED), None);
    assert_eq!(types(&closed.alerts), Some(AlertType::Resolved));
    assert_eq!(closed.alerts[0].id, open.alerts[0].id);
}

fn attempts_from(attempts: &[SourceAttempt], place: Place) -> Vec<SourceAttempt> {
    let ip: IpAddr = place.ip.parse().unwrap();
    attempts.iter().filter(|attempt| attempt.client_ip == ip).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Partitions hand out when they come to it, so that whoever judges may lack some.
    #[test]
    fn whatever_comes_late_the_incident_is_the_same(
        late in prop::collection::vec(any::<bool>(), 21),
    ) {
        let mut fleet = Fleet::read(&thin_list());
        let all = attempts_from(&fleet.attempts, RENTED);
        prop_assert_eq!(all.len(), late.len());
        let early = all.iter().zip(&late).filter(|(_, late)| !**late).map(|(early, _)| early);
        let early: Vec<SourceAttempt> = early.cloned().collect();
        let engine = &mut fleet.engines[0];
        let (before, after) = (engine.judge_network(&early, None), engine.judge_network(&all, None));
        let ids = opened(&after.alerts);
        prop_assert_eq!(ids.len(), 1);
        prop_assert!(opened(&before.alerts).iter().all(|id| *id == ids[0]));
    }
}
