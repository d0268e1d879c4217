//! Tests the features and the baseline of a key's windows.

use super::*;
use crate::event::{AccessEvent, Origin};
use crate::profile::route::route_id;

fn at(hour: i64, second: i64) -> EventTime {
    EventTime::from_seconds(1_767_571_200 + hour * 3_600 + second)
}

/// Statistics of a hundred requests on three routes, mostly `route`, with `errors + 1` errors.
fn hour(index: i64, errors: i64, route: &str) -> Statistics {
    let mut profile = BehaviourProfile::default();
    for n in 0..100 {
        let ip = "203.0.113.7".parse().unwrap_or(std::net::Ipv4Addr::LOCALHOST.into());
        let mut event = AccessEvent::minimal(at(index, n * 36), "k", ip);
        event.status = if n <= errors { 404 } else { 200 };
        event.path = match n % 10 {
            0 => "/v1/refunds".into(),
            1 | 2 => "/v1/orders".into(),
            _ => route.into(),
        };
        let id = route_id(&event.method, &event.path);
        profile.count(&Observation::of(&event, &Origin::default(), id));
    }
    let ended = profile.end_before(at(index + 1, 0));
    ended.map(|ended| ended.statistics).unwrap_or_default()
}

fn usual() -> Baseline {
    let mut baseline = Baseline::default();
    (0..48).for_each(|index| baseline.learn(&hour(index, index % 2, "/v1/payments")));
    baseline
}

fn named(features: [f64; OWN_FEATURES], name: &str) -> f64 {
    let which = FEATURES.iter().position(|feature| feature.name == name);
    features[which.unwrap_or_default()]
}

#[test]
fn features_of_an_ordinary_hour_are_near_zero_and_a_change_shows_in_its_own_feature() {
    let baseline = usual();
    assert!(baseline.is_settled());
    let ordinary = baseline.features(&hour(48, 1, "/v1/payments"));
    assert!(ordinary.iter().all(|feature| feature.abs() < 1.5), "{ordinary:?}");
    let failing = baseline.features(&hour(48, 30, "/v1/payments"));
    assert!(named(failing, "errors") > 2.0, "{failing:?}");
    let elsewhere = baseline.features(&hour(48, 1, "/v1/exports"));
    assert!(named(elsewhere, "route_mix") > 2.0, "{elsewhere:?}");
    assert!(named(elsewhere, "errors").abs() < 1.0, "{elsewhere:?}");
}

#[test]
fn one_strange_hour_teaches_little() {
    let (before, strange) = (usual(), hour(48, 60, "/v1/exports"));
    let mut after = before.clone();
    after.learn(&strange);
    let moved =
        named(before.features(&strange), "errors") - named(after.features(&strange), "errors");
    assert!((0.0..0.2).contains(&moved), "{moved}");
}

#[test]
fn silent_hours_lower_the_usual_volume_of_their_hour_of_the_day() {
    let mut baseline = Baseline::default();
    for day in 0..6 {
        (8..18).for_each(|index| baseline.learn(&hour(day * 24 + index, 1, "/v1/payments")));
    }
    let by_day = baseline.features(&hour(6 * 24 + 10, 1, "/v1/payments"));
    let by_night = baseline.features(&hour(6 * 24 + 3, 1, "/v1/payments"));
    assert!(named(by_night, "hour") > named(by_day, "hour") + 1.0, "{by_night:?}");
}

#[test]
fn late_requests_of_an_ended_window_are_ignored() {
    let mut profile = BehaviourProfile::default();
    let ip = std::net::Ipv4Addr::LOCALHOST.into();
    let observation = |time| {
        let event = AccessEvent::minimal(time, "k", ip);
        Observation::of(&event, &Origin::default(), 7)
    };
    profile.count(&observation(at(1, 5)));
    profile.count(&observation(at(0, 3_599)));
    assert_eq!(profile.end_before(at(1, 3_599)), None);
    let ended = profile.end_before(at(2, 0));
    assert_eq!(ended.map(|ended| ended.statistics.requests), Some(1.0));
    assert_eq!(profile.end_before(at(3, 0)), None, "a window ends once");
}

#[test]
fn an_hour_in_which_the_api_failed_disturbs_itself_and_the_next() {
    let window = |index, unavailable| FleetWindow { index, requests: 1_000, unavailable };
    let windows = [window(7, 3), window(6, 300), window(5, 2)];
    let disturbed: Vec<i32> = (4..9).filter(|index| is_disturbed(&windows, *index)).collect();
    assert_eq!(disturbed, [6, 7]);
}

#[test]
fn the_profile_is_small() {
    assert!(size_of::<Window>() <= 176, "{}", size_of::<Window>());
    assert!(size_of::<Baseline>() <= 160, "{}", size_of::<Baseline>());
    assert!(size_of::<BehaviourProfile>() <= 32);
}
