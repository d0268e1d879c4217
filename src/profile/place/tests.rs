//! Tests places of crowds, of single persons, and of suspicious requests.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::*;
use crate::event::{AccessEvent, Coordinates, EventTime, RecordPosition};

fn origin(number: u32) -> Origin {
    Origin {
        country: "US".into(),
        region: format!("Region {}", number % 7).into(),
        asn: 1_000 + number,
        as_name: format!("Network {number}").into(),
        ..Origin::default()
    }
}

/// A request from network `number` at the start of ten-minute interval `tenth`.
fn request(number: u32, tenth: u32) -> EnrichedEvent {
    let time = EventTime::from_seconds(600 * i64::from(tenth));
    let ip = IpAddr::V4(Ipv4Addr::from_bits(0x3400_0000 + (number << 8)));
    EnrichedEvent {
        event: AccessEvent::minimal(time, "key", ip),
        position: RecordPosition { offset: i64::from(tenth), index: 0 },
        origin: Arc::new(origin(number)),
    }
}

fn after(requests: impl Iterator<Item = u32>) -> PlaceProfile {
    let mut places = PlaceProfile::default();
    for (tenth, number) in requests.enumerate() {
        places.learn(&request(number, tenth as u32), false);
    }
    places
}

/// A key that 40 networks use in turn.
fn crowd() -> PlaceProfile {
    after((0..400).map(|n| n * 7 % 40))
}

#[test]
fn networks_of_a_crowd_stay_known_after_their_sites_are_replaced() {
    let places = crowd();
    assert!(places.sites().len() <= MAX_SITES);
    assert!((0..40).filter(|number| !places.knows_network(&origin(*number))).count() <= MAX_SITES);
    assert!(places.knows_country(&origin(0)));
    assert!(!places.knows_network(&origin(99)));
}

#[test]
fn a_reported_place_is_not_new_after_its_site_is_replaced_and_is_learned() {
    let (mut places, new) = (crowd(), request(99, 400));
    places.learn(&new, true);
    (401..460).for_each(|tenth| _ = places.learn(&request(tenth % 40, tenth), false));
    assert!(places.site_of(new.event.client_ip, &new.origin).is_none(), "replaced");
    assert!(places.was_told(&new.origin) && !places.knows_network(&new.origin));
    places.learn(&request(99, 461), false);
    let site = places.site_of(new.event.client_ip, &new.origin);
    assert!(site.is_some_and(|site| site.told_at.is_none() && site.weight == 1.0));
}

#[test]
fn the_fleet_learns_from_the_first_arrivals_of_a_key() {
    let abroad = |number: u32, tenth| {
        let mut request = request(number, tenth);
        let country = format!("C{number}").into();
        request.origin = Arc::new(Origin { country, ..origin(number) });
        request
    };
    let mut places = PlaceProfile::default();
    let learned = (0..40).filter_map(|n| places.learn(&abroad(n, n), false)).count();
    assert_eq!(learned, 3);
}

#[test]
fn new_places_are_ordinary_for_a_crowd_and_not_for_one_person() {
    let (crowd, office) = (crowd(), after((0..400).map(|_| 1)));
    assert!(crowd.novelty().new_network() > 10.0 * office.novelty().new_network());
    assert!(crowd.variety() > 0.3, "{}", crowd.variety());
    assert!(office.variety() < 0.02, "{}", office.variety());
}

#[test]
fn two_places_in_turn_are_not_a_crowd() {
    let two = after((0..400).map(|n| n % 2));
    assert!(two.variety() < 0.05, "{}", two.variety());
}

#[test]
fn a_suspicious_place_becomes_established_after_hours() {
    let mut places = after((0..100).map(|_| 1));
    let new = request(2, 100);
    places.learn(&new, true);
    assert!(!places.is_established(new.event.client_ip, &new.origin));
    for tenth in 101..120 {
        places.learn(&request(2, tenth), true);
    }
    assert!(places.is_established(new.event.client_ip, &new.origin));
}

#[test]
fn a_suspicious_site_that_was_replaced_does_not_become_known() {
    let mut places = after((0..10).map(|_| 1));
    places.learn(&request(500, 10), true);
    for tenth in 11..200 {
        places.learn(&request(tenth % 50, tenth), false);
    }
    assert!(!places.sites().iter().any(|site| site.asn == origin(500).asn));
    assert!(!places.knows_network(&origin(500)));
}

#[test]
fn one_use_of_a_vpn_is_not_a_habit() {
    let by_vpn = |tenth| {
        let mut event = request(2, tenth);
        event.origin = Arc::new(Origin { kind: NetworkKind::Vpn, ..(*event.origin).clone() });
        event
    };
    let mut places = after((0..100).map(|_| 1));
    places.learn(&by_vpn(100), false);
    assert!(!places.is_usual_kind(NetworkKind::Vpn));
    (101..104).for_each(|tenth| _ = places.learn(&by_vpn(tenth), false));
    assert!(places.is_usual_kind(NetworkKind::Vpn));
}

#[test]
fn only_a_satellite_explains_two_continents_within_minutes() {
    let at = |kind, longitude| {
        let mut event = request(1, 0);
        let place = Coordinates { latitude: 50.0, longitude, accuracy_km: 50.0 };
        event.origin =
            Arc::new(Origin { kind, coordinates: Some(place), ..(*event.origin).clone() });
        event
    };
    let is_impossible = |from, to| {
        let mut places = PlaceProfile::default();
        for tenth in 0..3 {
            let mut event = at(from, 0.0);
            event.event.time = EventTime::from_seconds(600 * tenth);
            places.learn(&event, false);
        }
        let mut there = at(to, 90.0);
        there.event.time = EventTime::from_seconds(1_260);
        there.event.client_ip = IpAddr::V4(Ipv4Addr::new(53, 1, 1, 1));
        let elsewhere = Origin {
            country: "JP".into(),
            asn: 7,
            as_name: "Elsewhere".into(),
            ..(*there.origin).clone()
        };
        there.origin = Arc::new(elsewhere);
        places.impossible_journey(&there).is_some()
    };
    assert!(is_impossible(NetworkKind::Access, NetworkKind::Access));
    assert!(is_impossible(NetworkKind::Access, NetworkKind::Hosting));
    assert!(is_impossible(NetworkKind::Hosting, NetworkKind::Hosting));
    assert!(!is_impossible(NetworkKind::Access, NetworkKind::Satellite));
}

#[test]
fn a_key_of_one_place_takes_little_memory() {
    assert!(size_of::<PlaceProfile>() <= 80, "{}", size_of::<PlaceProfile>());
    assert!(size_of::<Site>() <= 168, "{}", size_of::<Site>());
    assert!(after((0..400).map(|_| 1)).past.is_none());
}

#[test]
fn only_the_sites_that_an_incident_reported_become_the_keys_own() {
    let mut places = after((0..100).map(|_| 1));
    for (number, tenth) in [(2, 100), (3, 110), (2, 111)] {
        places.learn(&request(number, tenth), true);
    }
    let time = |tenth| request(1, tenth).event.time;
    places.take_up(&(time(100)..=time(105)));
    let is_own = |number| {
        let EnrichedEvent { event, origin, .. } = request(number, 120);
        places.is_established(event.client_ip, &origin)
    };
    assert_eq!([1, 2, 3].map(is_own), [true, true, false]);
}

#[test]
fn a_key_without_established_sites_is_at_home_where_it_was_used_most() {
    let places = after([1, 1, 2].into_iter());
    let is_home =
        |number| places.is_first_home(request(number, 9).event.client_ip, &origin(number));
    assert!(is_home(1) && !is_home(2) && !is_home(3));
    let once = after([1].into_iter());
    assert!(!once.is_first_home(request(1, 9).event.client_ip, &origin(1)), "used once");
    let settled = after([1; 9].into_iter());
    assert!(!settled.is_first_home(request(1, 9).event.client_ip, &origin(1)), "established");
}
