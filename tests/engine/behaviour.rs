//! Hours that are unlike their key, though no single number is out of bounds.

use keywatch::alert::DetectorId;

use super::scene::{LONDON, Scene};
use super::{DAY, HOUR, assert_quiet};

/// Pseudo-random numbers from 0 to 1.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

const ROUTES: [&str; 4] = ["/v1/orders/17", "/v1/orders", "/v1/customers/9", "/v1/balance"];

/// A server that asks twice a minute by chance, mostly for the first of its routes.
fn own_client(scene: &mut Scene, key: &str, days: f64, draws: &mut Draws) {
    let mut time = 0.0;
    while time < days * DAY {
        time += -30.0 * (1.0 - draws.next()).ln();
        let route = ROUTES[(4.0 * draws.next().powi(3)) as usize];
        let status = if draws.next() < 0.01 { 404 } else { 200 };
        scene.request(key, LONDON, time).path(route).status(status);
    }
}

/// Somebody on the same machine, for a day from `start`: about as many requests again, in
/// threes, mostly for the routes that the key uses least, one in eleven in vain.
fn somebody_else(scene: &mut Scene, key: &str, start: f64, draws: &mut Draws) {
    let mut time = start;
    while time < start + 24.0 * HOUR {
        time += -120.0 * (1.0 - draws.next()).ln();
        for n in 0..4 {
            let route = ROUTES[3 - (4.0 * draws.next().powi(3)) as usize];
            let status = if draws.next() < 0.09 { 404 } else { 200 };
            scene.request(key, LONDON, time + f64::from(n)).path(route).status(status);
        }
    }
}

#[test]
fn a_little_of_everything_for_hours_is_told_and_names_what_changed() {
    let mut scene = Scene::new();
    let mut draws = Draws(3);
    own_client(&mut scene, "key", 4.0, &mut draws);
    somebody_else(&mut scene, "key", 3.0 * DAY, &mut draws);
    let alerts = scene.run();
    let alert = alerts.first().expect("an alert");
    assert_eq!(alert.detectors, [DetectorId::BehaviourOutlier], "{}", alert.title);
    assert!(alert.detected_event_time >= scene.at(3.0 * DAY), "{}", alert.explanation);
    assert!(alert.model_version.starts_with("builtin-1+default-"), "{}", alert.model_version);
    let named = alert.evidence[0].fields["features"].as_array().unwrap();
    let names: Vec<_> = named.iter().map(|feature| feature["feature"].as_str().unwrap()).collect();
    assert!(names.contains(&"route_mix"), "{names:?}");
    assert!(alert.explanation.contains("taken together, unlike itself"), "{}", alert.explanation);
}

#[test]
fn keys_that_are_only_different_from_each_other_are_ordinary() {
    let mut scene = Scene::new();
    for key in 0..4 {
        own_client(&mut scene, &format!("key-{key}"), 4.0, &mut Draws(100 + key));
    }
    assert_quiet(&scene);
}
