//! Keys of one person, of a crowd, of servers, and what is strange for each.

use keywatch::alert::{Action, Alert, AlertType, DetectorId, Severity};
use keywatch::config::{DetectConfig, PolicyConfig};
use keywatch::engine::Engine;
use keywatch::event::ShardId;
use keywatch::registry::Registry;

use super::scene::{AMSTERDAM, HOSTER, LONDON, NEW_YORK, Place, SYDNEY, Scene, VPN};
use super::{DAY, HOUR, assert_quiet, settled};

/// Four cities of one country, up to 4,000 km apart.
const CITIES: [(&str, f64, f64); 4] = [
    ("New York", 40.7, -74.0),
    ("Illinois", 41.9, -87.6),
    ("Texas", 29.8, -95.4),
    ("California", 34.1, -118.2),
];

/// The users of an app for three days: 40 networks in four cities, one request a minute.
fn crowd() -> Scene {
    let mut scene = Scene::new();
    for minute in 0..3 * 1_440_u32 {
        // Any order will do that is not a round.
        let user = minute.wrapping_mul(2_654_435_761) >> 16;
        scene.request("app", home_of(user % 40), f64::from(minute) * 60.0).ip(&address(user));
    }
    scene
}

fn home_of(network: u32) -> Place {
    let (region, latitude, longitude) = CITIES[network as usize % 4];
    Place { asn: 65_000 + network, region, city: region, latitude, longitude, ..NEW_YORK }
}

fn address(user: u32) -> String {
    format!("52.{}.7.{}", user % 40, user / 40 % 250)
}

fn opened(alerts: &[Alert]) -> Vec<&Alert> {
    alerts.iter().filter(|alert| alert.alert_type == AlertType::Opened).collect()
}

fn worst(alerts: &[Alert]) -> Option<Action> {
    alerts.iter().map(|alert| alert.action).max()
}

#[test]
fn a_crowd_is_quiet_also_when_a_new_network_of_its_country_comes() {
    let mut scene = crowd();
    scene.steady("app", Place { ip: "53.1.2.3", ..home_of(41) }, 3.0 * DAY, HOUR, 120.0);
    assert_quiet(&scene);
}

#[test]
fn some_visitors_of_a_crowd_are_from_countries_that_it_did_not_have_yet() {
    let mut scene = crowd();
    for (day, place) in [AMSTERDAM, LONDON, SYDNEY].into_iter().enumerate() {
        scene.steady("app", place, (3 + day) as f64 * DAY, HOUR, 600.0);
    }
    assert_quiet(&scene);
}

#[test]
fn a_crowd_is_quiet_in_its_first_hours_and_a_person_at_two_places_is_not() {
    let mut scene = Scene::new();
    for n in 0..8_u32 {
        let place = home_of(n);
        let start = 700.0 * f64::from(n);
        scene.request("app", place, start).ip(&address(n));
    }
    for n in 8..20_u32 {
        let place = Place { country: "GB", ..LONDON };
        let place = if n % 2 == 0 { home_of(n) } else { Place { asn: 65_000 + n, ..place } };
        scene.request("app", place, 700.0 * f64::from(n)).ip(&address(n));
    }
    assert_quiet(&scene);

    let mut scene = Scene::new();
    scene.steady("key", LONDON, 0.0, 2.0 * HOUR, 300.0);
    scene.request("key", SYDNEY, 2.0 * HOUR + 60.0);
    let alerts = scene.run();
    assert!(opened(&alerts)[0].detectors.contains(&DetectorId::ImpossibleTravel));
}

#[test]
fn a_thief_in_a_data_centre_shows_in_a_crowd() {
    let mut scene = crowd();
    let thief = Place { asn: HOSTER, ip: "53.9.9.9", ..home_of(0) };
    scene.steady("app", thief, 3.0 * DAY, HOUR, 20.0);
    let alerts = scene.run();
    assert_eq!(opened(&alerts)[0].detectors, [DetectorId::NewAsn]);
}

#[test]
fn a_vpn_switched_on_and_off_is_told_once_at_most_and_mildly() {
    let mut scene = settled(300.0);
    let exits = [(AMSTERDAM, "53.1.1.1"), (SYDNEY, "53.1.2.1"), (NEW_YORK, "53.1.3.1")];
    for hour in 0..48 {
        let (place, ip) = exits[hour % 3];
        let start = 2.0 * DAY + hour as f64 * HOUR;
        scene.steady("key", LONDON, start, HOUR / 2.0, 300.0);
        scene.steady("key", Place { asn: VPN, ip, ..place }, start + HOUR / 2.0, 900.0, 300.0);
    }
    let alerts = scene.run();
    assert!(opened(&alerts).len() <= 1, "{alerts:#?}");
    assert!(worst(&alerts) <= Some(Action::Notify), "{alerts:#?}");
}

/// The severity of the first request from another network in London, a month on. So many false
/// alerts are allowed that also a common network is told.
fn of_another_network(asn: u32, agent: Option<&str>) -> Option<Severity> {
    let mut scene = Scene::new();
    for n in 0..30 * 144 {
        scene.request("key", LONDON, 600.0 * f64::from(n)).agent("acme/1.0");
    }
    let place = Place { asn, ip: "203.0.113.9", ..LONDON };
    let last = scene.request("key", place, 30.0 * DAY + 60.0);
    if let Some(agent) = agent {
        last.agent(agent);
    }
    let detect = DetectConfig { expected_false_alerts_per_week: 5_000.0, ..Default::default() };
    let mut engine = Engine::new(&detect, &PolicyConfig::default(), Registry::default());
    let outcome = engine.process(ShardId::Shared, &Scene::partition(), &scene.events(), None);
    let of_networks = outcome.alerts.iter().filter(|it| it.detectors.contains(&DetectorId::NewAsn));
    of_networks.map(|alert| alert.severity).max()
}

#[test]
fn another_carrier_in_the_region_of_the_key_is_no_alert_and_a_rented_machine_is() {
    assert_eq!(of_another_network(64_777, Some("acme/1.0")), None);
    assert_eq!(of_another_network(HOSTER, Some("acme/1.0")), Some(Severity::Medium));
    assert_eq!(of_another_network(64_777, Some("curl/8.5.0")), Some(Severity::Medium));
    assert_eq!(of_another_network(64_777, None), Some(Severity::Medium));
}

/// A service in a cloud in London, for two days.
fn service() -> Scene {
    let mut scene = Scene::new();
    scene.steady("key", Place { asn: HOSTER, ..LONDON }, 0.0, 2.0 * DAY, 60.0);
    scene
}

#[test]
fn another_region_of_the_cloud_is_told_once_and_stops_nobody() {
    let mut scene = service();
    for hour in 0..12 {
        let start = 2.0 * DAY + f64::from(hour) * HOUR;
        scene.steady("key", Place { asn: HOSTER, ..LONDON }, start, HOUR, 60.0);
        scene.steady("key", Place { asn: HOSTER, ..SYDNEY }, start + 30.0, 600.0, 60.0);
    }
    let alerts = scene.run();
    let opened = opened(&alerts);
    assert_eq!(opened.len(), 1, "{alerts:#?}");
    assert_eq!(opened[0].detectors, [DetectorId::NewLocation]);
    assert_eq!(worst(&alerts), Some(Action::Notify));
}

#[test]
fn a_machine_abroad_is_no_place_of_a_person_after_half_an_hour() {
    let mut scene = Scene::new();
    scene.steady("key", LONDON, 0.0, 0.6 * HOUR, 60.0);
    scene.request("key", Place { asn: HOSTER, ..SYDNEY }, 0.6 * HOUR);
    let alerts = scene.run();
    assert_eq!(opened(&alerts)[0].detectors, [DetectorId::ImpossibleTravel]);
    assert_eq!(worst(&alerts), Some(Action::Notify), "the key is young");
}

#[test]
fn a_machine_abroad_is_a_notice_alone_and_more_with_what_it_does_there() {
    let mut scene = settled(300.0);
    let machine = Place { asn: HOSTER, ..SYDNEY };
    scene.request("key", machine, 2.0 * DAY);
    assert_eq!(worst(&scene.run()), Some(Action::Notify), "its owner may have deployed it there");
    scene.steady("key", machine, 2.0 * DAY + 1.0, 300.0, 0.2);
    assert!(worst(&scene.run()) > Some(Action::Notify));
}

#[test]
fn a_tunnel_s_address_is_of_the_ipv4_site_inside() {
    let mut scene = settled(300.0);
    // 6to4 of London's 192.0.2.10, placed where the prefix is registered.
    scene.request("key", SYDNEY, 2.0 * DAY).ip("2002:c000:20a::1");
    assert_quiet(&scene);
}

#[test]
fn a_key_that_is_used_from_everywhere_at_once_is_told() {
    let mut scene = Scene::new();
    // Eleven hours a day, as a person works, and then at night through a rotating proxy.
    for day in 0..3 {
        scene.steady("person", LONDON, f64::from(day) * DAY + 8.0 * HOUR, 11.0 * HOUR, 300.0);
    }
    let countries = ["VN", "BR", "ID", "TR", "KR", "IN", "US"];
    for n in 0..40u32 {
        let country = countries[n as usize % countries.len()];
        let place = Place { asn: 65_100 + n, country, region: "", city: "", ..SYDNEY };
        let ip = format!("100.{n}.7.9");
        let time = 3.2 * DAY + 60.0 * f64::from(n);
        scene.request("person", place, time).ip(&ip);
    }
    let alerts = scene.run();
    let told = alerts.iter().any(|alert| alert.title.contains("new networks in "));
    assert!(told, "{alerts:#?}");
}
