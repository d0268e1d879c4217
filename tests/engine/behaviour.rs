//! Whole hours of keys, judged by the model that the program carries.

use super::scene::{LONDON, Scene};
use super::{DAY, assert_quiet};

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

/// A server that asks three times a minute by chance, mostly for the first of its routes.
fn own_client(scene: &mut Scene, key: &str, days: f64, draws: &mut Draws) {
    let mut time = 0.0;
    while time < days * DAY {
        time += -20.0 * (1.0 - draws.next()).ln();
        let route = ROUTES[(4.0 * draws.next().powi(3)) as usize];
        let status = if draws.next() < 0.01 { 404 } else { 200 };
        scene.request(key, LONDON, time).path(route).status(status);
    }
}

#[test]
fn keys_that_are_only_different_from_each_other_are_ordinary() {
    let mut scene = Scene::new();
    for key in 0..4 {
        own_client(&mut scene, &format!("key-{key}"), 4.0, &mut Draws(100 + key));
    }
    assert_quiet(&scene);
}
