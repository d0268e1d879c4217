//! Defines characters of people who change their place or their line.

use rand::RngExt;

use super::super::agents::{self, Agents};
use super::super::places::{NetworkKind, Place, any_place, places_where};
use super::super::products;
use super::super::random::{Random, log_normal, pick};
use super::super::rhythm::{Burst, Rhythm};
use super::super::season::Curve;
use super::super::site::Site;
use super::super::whereabouts::{Vehicle, Whereabouts, sites_among};
use super::{Character, Habits, Setting, burst, fixed};

const DAY: f64 = 86_400.0;
/// Distance between cities that a train covers in an afternoon.
const BY_TRAIN_KM: std::ops::Range<f64> = 30.0..450.0;

pub(super) fn has_cities_nearby(home: &Place) -> bool {
    home.is_v4() && cities_nearby(home).len() >= 3
}

pub(super) fn has_relays(home: &Place) -> bool {
    home.is_v4() && relays(home).len() >= 2
}

pub(super) fn has_carriers(home: &Place) -> bool {
    home.is_v4() && !carriers(home).is_empty()
}

pub(super) fn is_among_stations(home: &Place) -> bool {
    stations(home).len() >= 2
}

fn of_kind(home: &Place, kind: NetworkKind) -> Vec<&'static Place> {
    places_where(|place| place.country == home.country && place.kind == kind && place.is_v4())
}

fn cities_nearby(home: &Place) -> Vec<&'static Place> {
    let mut places = of_kind(home, NetworkKind::Residential);
    places.extend(of_kind(home, NetworkKind::Mobile));
    places.retain(|place| BY_TRAIN_KM.contains(&place.distance_km(home)));
    places
}

/// The exits that are nearest to the home come first.
fn relays(home: &Place) -> Vec<&'static Place> {
    let mut places = of_kind(home, NetworkKind::Relay);
    places.sort_by(|one, other| one.distance_km(home).total_cmp(&other.distance_km(home)));
    places.truncate(3);
    places
}

/// A carrier's gateway is seldom in the subscriber's city.
fn carriers(home: &Place) -> Vec<&'static Place> {
    of_kind(home, NetworkKind::Mobile)
}

fn stations(home: &Place) -> Vec<&'static Place> {
    of_kind(home, NetworkKind::Satellite)
}

pub(super) fn habits(character: Character, setting: &Setting<'_>, random: &mut Random) -> Habits {
    let whereabouts = match character {
        Character::LaptopVpn => with_vpn(setting, random),
        Character::FailoverLine => with_other_line(setting, 1_200, 0.03, random),
        Character::HotSpot => with_other_line(setting, 1_800, 0.2, random),
        Character::RailTraveller => by_train(setting, random),
        Character::Ipv6Privacy => dual_stack(setting, random),
        Character::PrivateRelay => relayed(setting, random),
        Character::InFlight => on_board(setting, random),
        _ => by_satellite(setting, random),
    };
    let is_branch = character == Character::FailoverLine;
    let agents = Agents::any(if is_branch { agents::SERVER } else { agents::PEOPLE }, random);
    let product = pick(random, &products::ORDINARY);
    let rhythm = if is_branch { branch(setting, random) } else { person(setting, random) };
    Habits::bearer(vec![setting.client(rhythm, whereabouts, agents, product, random)])
}

/// A few requests at a time, by day, also at weekends.
fn person(setting: &Setting<'_>, random: &mut Random) -> Rhythm {
    setting.seasonal(log_normal(random, 0.003, 0.6), Curve::Waking, burst(4.0, 0.7, 5.0))
}

fn branch(setting: &Setting<'_>, random: &mut Random) -> Rhythm {
    setting.seasonal(log_normal(random, 0.02, 0.5), Curve::Daytime, Burst::ONE)
}

fn switching(
    usual: Whereabouts,
    others: Vec<Site>,
    every_seconds: i64,
    share: f64,
    random: &mut Random,
) -> Whereabouts {
    if others.is_empty() {
        return usual;
    }
    Whereabouts::Switching {
        usual: Box::new(usual),
        others,
        every_seconds,
        share,
        seed: random.random(),
    }
}

fn at_home(setting: &Setting<'_>, random: &mut Random) -> Site {
    fixed(setting.home, 1, setting.rotating, random)
}

/// Three stays at home, then one away, repeatedly.
fn trips(
    setting: &Setting<'_>,
    stay_seconds: f64,
    underway: Option<Site>,
    random: &mut Random,
) -> Whereabouts {
    let home = at_home(setting, random);
    let is_away = |place: &Place| {
        !place.is_rented()
            && place.kind != NetworkKind::Inflight
            && (600.0..9_000.0).contains(&place.distance_km(setting.home))
    };
    let Some(away) = any_place(random, is_away) else { return Whereabouts::Fixed(home) };
    let away = Site::hosts(away, 1, random);
    // Spreads the trips, so that keys do not travel on the same days.
    let since = setting.plan.start.plus_seconds(-random.random_range(0.0..3.0) * stay_seconds);
    Whereabouts::Tour {
        stops: vec![home, home, home, away],
        since,
        stay_seconds,
        vehicle: Vehicle::Airliner,
        underway,
    }
}

fn with_vpn(setting: &Setting<'_>, random: &mut Random) -> Whereabouts {
    let stay = random.random_range(1.2..2.5) * DAY;
    let usual = trips(setting, stay, None, random);
    let exits = places_where(|place| place.kind == NetworkKind::Vpn);
    let exits = sites_among(&exits, 2, |place, random| Site::hosts(place, 1, random), random);
    switching(usual, exits, 7_200, 0.25, random)
}

fn with_other_line(
    setting: &Setting<'_>,
    every_seconds: i64,
    share: f64,
    random: &mut Random,
) -> Whereabouts {
    let usual = Whereabouts::Fixed(at_home(setting, random));
    let other = pick(random, &carriers(setting.home));
    let other = Site::rotating(other, 900, random);
    switching(usual, vec![other], every_seconds, share, random)
}

fn by_train(setting: &Setting<'_>, random: &mut Random) -> Whereabouts {
    let cities = cities_nearby(setting.home);
    let mut stops = vec![at_home(setting, random)];
    stops.extend(sites_among(&cities, 4, |p, random| Site::rotating(p, 900, random), random));
    let stay_seconds = random.random_range(3.0..8.0) * 3_600.0;
    let since = setting.plan.start;
    Whereabouts::Tour { stops, since, stay_seconds, vehicle: Vehicle::Train, underway: None }
}

/// IPv6 with a new interface identifier every few hours, and IPv4 for hosts without IPv6.
fn dual_stack(setting: &Setting<'_>, random: &mut Random) -> Whereabouts {
    let every = pick(random, &[3_600, 21_600, 86_400]);
    let usual = Whereabouts::Fixed(Site::rotating(setting.home, every, random));
    let near = |place: &Place| {
        place.asn == setting.home.asn && place.is_v4() && place.distance_km(setting.home) < 60.0
    };
    let others = any_place(random, near).map(|place| Site::hosts(place, 1, random));
    switching(usual, others.into_iter().collect(), 1_800, 0.2, random)
}

fn relayed(setting: &Setting<'_>, random: &mut Random) -> Whereabouts {
    let usual = Whereabouts::Fixed(at_home(setting, random));
    let exits = relays(setting.home);
    let exits = sites_among(&exits, 3, |place, random| Site::rotating(place, 300, random), random);
    switching(usual, exits, 900, 0.6, random)
}

fn on_board(setting: &Setting<'_>, random: &mut Random) -> Whereabouts {
    let gateway = any_place(random, |place| place.kind == NetworkKind::Inflight);
    let underway = gateway.map(|place| Site::rotating(place, 900, random));
    let stay = random.random_range(0.6..1.5) * DAY;
    trips(setting, stay, underway, random)
}

/// The ground station changes now and then.
fn by_satellite(setting: &Setting<'_>, random: &mut Random) -> Whereabouts {
    let usual = Whereabouts::Fixed(Site::rotating(setting.home, 43_200, random));
    let mut others = stations(setting.home);
    others.retain(|place| place.prefix != setting.home.prefix);
    let others = sites_among(&others, 2, |p, random| Site::rotating(p, 43_200, random), random);
    switching(usual, others, 10_800, 0.15, random)
}
