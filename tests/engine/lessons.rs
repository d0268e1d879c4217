//! What a profile learns when people close its incidents.

use keywatch::alert::{Alert, AlertType, DetectorId};
use keywatch::config::{DetectConfig, PolicyConfig};
use keywatch::engine::checkpoint::{Chunk, Extent};
use keywatch::engine::{Engine, Restoration};
use keywatch::event::{EnrichedEvent, ShardId};
use keywatch::registry::{Lesson, LessonKind, Registry, Topics};

use crate::scene::{HOSTER, LONDON, Place, SYDNEY, Scene, with_model};
use crate::{DAY, HOUR};

const AWAY: Place = Place { asn: HOSTER, ip: "203.0.113.9", ..SYDNEY };
const SHARD: ShardId = ShardId::Shared;

fn engine() -> Engine {
    let (detect, policy) = (DetectConfig::default(), PolicyConfig::default());
    with_model(Engine::new(&detect, &policy, Registry::default()))
}

fn process(engine: &mut Engine, events: &[EnrichedEvent]) -> Vec<Alert> {
    engine.process(SHARD, &Scene::partition(), events, None).alerts
}

/// A key at home for four days, and in a hoster's network far away for some hours of the third.
/// Returns the events until the fourth day, and those of a visit from there on the fifth.
fn visit(hours: f64) -> (Vec<EnrichedEvent>, Vec<EnrichedEvent>) {
    let mut scene = Scene::new();
    scene.steady("key", LONDON, 0.0, 4.0 * DAY, 120.0);
    scene.steady("key", AWAY, 2.0 * DAY + 30.0, hours * HOUR, 300.0);
    scene.steady("key", LONDON, 4.0 * DAY, 2.0 * HOUR, 120.0);
    scene.steady("key", AWAY, 4.0 * DAY + HOUR, HOUR, 300.0);
    let mut events = scene.events();
    let cut = events.partition_point(|it| it.event.time < scene.at(4.0 * DAY));
    let later = events.split_off(cut);
    (events, later)
}

fn confirmation(alerts: &[Alert]) -> Lesson {
    let first = alerts.iter().find(|alert| is_of_place(alert)).expect("an incident of the visit");
    Lesson {
        act: "act_1".into(),
        incident: first.id.clone(),
        key_id: "key".into(),
        since: first.first_event_time,
        until: first.last_event_time,
        topics: Topics { places: true, ..Topics::default() },
        kind: LessonKind::Confirmed,
    }
}

fn is_of_place(alert: &Alert) -> bool {
    let is_place = |detector: &DetectorId| {
        matches!(
            detector,
            DetectorId::NewLocation | DetectorId::NewAsn | DetectorId::ImpossibleTravel
        )
    };
    alert.alert_type == AlertType::Opened && alert.detectors.iter().any(is_place)
}

fn tells_of_place(alerts: &[Alert]) -> bool {
    alerts.iter().any(is_of_place)
}

#[test]
fn a_confirmed_thief_is_a_stranger_again() {
    let (events, later) = visit(20.0);
    let mut ignored = engine();
    process(&mut ignored, &events);
    assert!(!tells_of_place(&process(&mut ignored, &later)), "a place of twenty hours is known");

    let mut engine = engine();
    let alerts = process(&mut engine, &events);
    engine.learn_lessons(&[confirmation(&alerts)]);
    assert!(tells_of_place(&process(&mut engine, &later)));
}

/// A key with a burst on the fourth day and one as high on the sixth: the events before the second
/// one, and those of it.
fn bursts() -> (Vec<EnrichedEvent>, Vec<EnrichedEvent>) {
    let mut scene = Scene::new();
    scene.steady("key", LONDON, 0.0, 7.0 * DAY, 300.0);
    for day in [4.0, 6.2] {
        scene.steady("key", LONDON, day * DAY, 0.2 * HOUR, 2.0);
    }
    let mut events = scene.events();
    let cut = events.partition_point(|it| it.event.time < scene.at(6.2 * DAY));
    let later = events.split_off(cut);
    (events, later)
}

#[test]
fn what_was_dismissed_is_the_keys_own() {
    let (events, later) = bursts();
    let tells = |alerts: &[Alert]| {
        alerts.iter().any(|alert| alert.detectors.contains(&DetectorId::RateSpike))
    };
    let mut untold = engine();
    let alerts = process(&mut untold, &events);
    assert!(tells(&alerts) && tells(&process(&mut untold, &later)));

    let mut engine = engine();
    let alerts = process(&mut engine, &events);
    let is_of_rate = |alert: &Alert| alert.detectors.contains(&DetectorId::RateSpike);
    let first = alerts.into_iter().rfind(is_of_rate).expect("an incident of the burst");
    engine.learn_lessons(&[Lesson {
        act: "act_1".into(),
        incident: first.id,
        key_id: "key".into(),
        since: first.first_event_time,
        until: first.last_event_time,
        topics: Topics { bursts: true, ..Topics::default() },
        kind: LessonKind::Dismissed,
    }]);
    assert!(!tells(&process(&mut engine, &later)));
}

#[test]
fn a_lesson_survives_a_restart_and_is_applied_once() {
    let (events, later) = visit(20.0);
    let mut first = engine();
    let alerts = process(&mut first, &events);
    let confirmed = confirmation(&alerts);
    let before = save(&mut first);
    first.learn_lessons(std::slice::from_ref(&confirmed));
    let after = save(&mut first);
    for saved in [before, after] {
        // The state may or may not include the lesson: the restored shard has it once.
        let mut second = engine();
        second.learn_lessons(std::slice::from_ref(&confirmed));
        restore(&mut second, &saved);
        second.learn_lessons(std::slice::from_ref(&confirmed));
        assert!(tells_of_place(&process(&mut second, &later)));
    }
    // Applied again, it would take back what the owner has taught since.
    process(&mut first, &later);
    let known = save(&mut first);
    first.learn_lessons(&[confirmed]);
    assert_eq!(save(&mut first), known);
}

fn save(engine: &mut Engine) -> Vec<Chunk> {
    let mut chunks = engine.cut(SHARD, Extent::All).unwrap().unwrap().chunks;
    while let Some(chunk) = engine.take_slice(SHARD, 100).unwrap() {
        chunks.push(chunk);
    }
    chunks
}

fn restore(engine: &mut Engine, chunks: &[Chunk]) {
    let mut restoration = Restoration::default();
    chunks.iter().for_each(|chunk| restoration.add(chunk).unwrap());
    engine.install(SHARD, restoration).unwrap();
}
