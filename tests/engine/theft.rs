//! Signs that have an ordinary explanation each, and none together.

use keywatch::alert::{Action, Alert, Restraint};
use keywatch::config::PolicyConfig;

use super::DAY;
use super::scene::{HOSTER, LONDON, OTHER_HOSTER, Place, SYDNEY, Scene};

const OWN: &str = "acme-sync/2.1";
const OTHER: &str = "curl/8.5.0";
const HOME: Place = Place { asn: HOSTER, ..LONDON };
/// A server too: the owner may have moved there.
const ELSEWHERE: Place = Place { asn: OTHER_HOSTER, ..SYDNEY };
const BEGINS: f64 = 8.0 * DAY;

/// A server that sends a request a minute.
fn server() -> Scene {
    let mut scene = Scene::new();
    for minute in 0..(BEGINS / 60.0) as u32 {
        scene.request("key", HOME, 60.0 * f64::from(minute)).agent(OWN);
        scene.request("other", HOME, 60.0 * f64::from(minute) + 7.0).agent(OWN);
    }
    scene
}

/// For ten minutes, a request every `step` seconds.
fn visit(scene: &mut Scene, place: Place, agent: &str, step: f64, status: u16) {
    for n in 0..(600.0 / step) as u32 {
        scene.request("key", place, BEGINS + step * f64::from(n)).agent(agent).status(status);
    }
}

fn visited(place: Place, agent: &str, step: f64, status: u16) -> Scene {
    let mut scene = server();
    visit(&mut scene, place, agent, step, status);
    scene
}

fn alerts(place: Place, agent: &str, step: f64, status: u16) -> Vec<Alert> {
    visited(place, agent, step, status).run()
}

fn strongest(alerts: &[Alert]) -> Action {
    alerts.iter().map(|alert| alert.action).max().unwrap_or(Action::Observe)
}

#[test]
fn a_program_a_machine_and_a_use_that_are_all_new_throttle_and_suspend_where_no_proof_is_asked_for()
{
    let scene = visited(ELSEWHERE, OTHER, 0.2, 200);
    for most in [Action::Notify, Action::Throttle, Action::Suspend] {
        let policy = PolicyConfig { most_without_proof: most, ..PolicyConfig::default() };
        let alerts = scene.outcome_under(&policy).alerts;
        assert_eq!(strongest(&alerts), most);
        let last = alerts.last().unwrap();
        assert_ne!(last.restraint, Some(Restraint::SingleSign), "{}", last.explanation);
    }
}

#[test]
fn two_of_them_do_not() {
    for (place, agent, step) in
        [(ELSEWHERE, OTHER, 60.0), (ELSEWHERE, OWN, 0.2), (HOME, OTHER, 0.2)]
    {
        let alerts = alerts(place, agent, step, 200);
        assert!(!alerts.is_empty(), "{agent} {step}");
        assert!(strongest(&alerts) <= Action::Throttle, "{agent} {step}");
    }
}

#[test]
fn all_three_by_requests_that_prove_nothing_only_notify() {
    assert!(strongest(&alerts(ELSEWHERE, OTHER, 0.2, 401)) <= Action::Notify);
}
