//! What a trained model brings along: its name in alerts, and a beginning for new shards.

use std::path::Path;
use std::sync::Arc;

use keywatch::alert::Alert;
use keywatch::config::{DetectConfig, PolicyConfig};
use keywatch::detect::Family;
use keywatch::detect::outlier::Model;
use keywatch::engine::{Engine, Restoration, checkpoint::Extent};
use keywatch::event::ShardId;
use keywatch::registry::Registry;

use super::scene::{AMSTERDAM, LONDON, SYDNEY, Scene};
use super::{DAY, HOUR};

const SHARD: ShardId = ShardId::Shared;

/// Thirty keys over a day and a half: more hours of keys than one fit of the tails needs.
fn history() -> Scene {
    let mut scene = Scene::new();
    for key in 0..30 {
        let (name, start) = (format!("key-{key}"), f64::from(key) * 7.0);
        let place = if key % 3 == 0 { AMSTERDAM } else { LONDON };
        scene.steady(&name, place, start, 1.5 * DAY, 240.0 + f64::from(key));
    }
    scene
}

fn told(engine: &mut Engine, scene: &Scene) -> Vec<Alert> {
    engine.process(SHARD, &Scene::partition(), &scene.events(), None).alerts
}

fn engine_with(model: Model) -> Engine {
    let (detect, policy) = (DetectConfig::default(), PolicyConfig::default());
    let mut engine = Engine::new(&detect, &policy, Registry::default());
    engine.set_model(Arc::new(model));
    engine
}

/// As `keywatch train` writes it and the service reads it.
fn trained() -> Model {
    let mut engine = Scene::engine();
    told(&mut engine, &history());
    let mut model = Model::shipped().unwrap();
    model.priors = engine.priors(SHARD).unwrap();
    model.name = "trained".into();
    model.seal().unwrap();
    let text = serde_json::to_string_pretty(&model).unwrap();
    Model::parse(&text, Path::new("trained.json")).unwrap()
}

/// The first request of a new installation.
fn first() -> Scene {
    let mut scene = Scene::new();
    scene.request("key-new", LONDON, 40.0 * DAY);
    scene
}

#[test]
fn a_new_installation_with_trained_priors_is_calibrated_from_its_first_hour() {
    let model = trained();
    assert!(model.priors.calibration.key_hours() > 900.0);
    let mut engine = engine_with(model.clone());
    told(&mut engine, &first());
    let begun = engine.priors(SHARD).unwrap();
    assert_eq!(begun.calibration, model.priors.calibration);
    assert_eq!(begun.population.keys(), 31, "those of training, and the new one");
    assert!(engine.promise(Family::Rate).is_some());

    let mut bare = engine_with(Model::shipped().unwrap());
    told(&mut bare, &first());
    assert_eq!(bare.promise(Family::Rate), None, "another fleet's habits are none");
    assert_eq!(bare.priors(SHARD).unwrap().population.keys(), 1);
}

#[test]
fn a_shard_with_saved_state_goes_on_with_that() {
    let mut saved = Scene::engine();
    told(&mut saved, &first());
    let mut restoration = Restoration::default();
    let cut = saved.cut(SHARD, Extent::All).unwrap().unwrap();
    cut.chunks.iter().for_each(|chunk| restoration.add(chunk).unwrap());
    while let Some(slice) = saved.take_slice(SHARD, 10).unwrap() {
        restoration.add(&slice).unwrap();
    }
    let mut engine = engine_with(trained());
    engine.install(SHARD, restoration).unwrap();
    assert_eq!(engine.priors(SHARD), saved.priors(SHARD));
}

#[test]
fn every_alert_names_the_model_that_was_in_use() {
    let mut engine = Scene::engine();
    let mut names = Vec::new();
    for (key, model) in [("key-a", Model::shipped().unwrap()), ("key-b", trained())] {
        engine.set_model(Arc::new(model.clone()));
        let mut scene = Scene::new();
        let start = names.len() as f64 * 2.0 * DAY;
        scene.steady(key, LONDON, start, 20.0 * HOUR, 120.0);
        scene.request(key, SYDNEY, start + 20.0 * HOUR);
        let mut events = scene.events();
        for event in &mut events {
            event.position.offset += names.len() as i64 * 100_000;
        }
        let alerts = engine.process(SHARD, &Scene::partition(), &events, None).alerts;
        let of_key: Vec<_> = alerts.iter().filter(|a| a.key_id.as_deref() == Some(key)).collect();
        assert!(!of_key.is_empty());
        for alert in of_key {
            assert!(alert.model_version.ends_with(&format!("+{}", model.version())));
        }
        names.push(model.version());
    }
    assert_ne!(names[0], names[1]);
}
