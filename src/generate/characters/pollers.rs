//! Defines characters that poll all the time, new keys, and services with unusual paths.

use rand::RngExt;

use super::super::agents::{self, Agents};
use super::super::client::{Client, Retries, THROTTLED};
use super::super::places::{NetworkKind, Place, places_where};
use super::super::products::{self, Product};
use super::super::random::{Random, log_normal, pick};
use super::super::rhythm::{Burst, Rhythm, Starts};
use super::super::season::Curve;
use super::super::site::Site;
use super::super::whereabouts::{Whereabouts, sites_among};
use super::{Character, Habits, Setting, burst};

pub(super) fn habits(character: Character, setting: &Setting<'_>, random: &mut Random) -> Habits {
    let ordinary = pick(random, &products::ORDINARY);
    let client = match character {
        Character::HealthCheck => monitors(setting, random),
        Character::Poller => poller(setting, ordinary, random),
        Character::PoliteBackoff => polite(setting, ordinary, random),
        Character::PrefixedIds => server(setting, products::BILLING, random),
        Character::MixedIds => server(setting, products::CONTENT, random),
        _ => newcomer(setting, ordinary, random),
    };
    Habits::bearer(vec![client])
}

fn server(setting: &Setting<'_>, product: Product, random: &mut Random) -> Client {
    let per_second = log_normal(random, 0.03, 0.8);
    let rhythm = setting.seasonal(per_second, Curve::Daytime, Burst::ONE);
    let machines = random.random_range(1..5);
    let whereabouts = Whereabouts::Fixed(Site::hosts(setting.home, machines, random));
    let agents = Agents::any(agents::SERVER, random);
    setting.client(rhythm, whereabouts, agents, product, random)
}

fn every(seconds: f64, random: &mut Random) -> Rhythm {
    let phase = random.random_range(0.0..seconds);
    Rhythm::new(Starts::Periodic { every: seconds, phase, lateness: 0.4 }, Burst::ONE)
}

fn monitors(setting: &Setting<'_>, random: &mut Random) -> Client {
    let elsewhere =
        |place: &Place| place.kind == NetworkKind::Hosting && place.country != setting.home.country;
    let mut sites = vec![Site::hosts(setting.home, 1, random)];
    let places = places_where(elsewhere);
    sites.extend(sites_among(&places, 3, |place, random| Site::hosts(place, 1, random), random));
    let seconds = pick(random, &[5.0, 10.0, 30.0]);
    let agents = Agents::any(agents::MONITORS, random);
    let rhythm = every(seconds, random);
    setting.client(rhythm, Whereabouts::Fleet(sites), agents, products::HEALTH, random)
}

/// A client that polls one or two routes.
fn poller(setting: &Setting<'_>, product: Product, random: &mut Random) -> Client {
    let mut client = server(setting, product, random);
    client.rhythm = every(pick(random, &[10.0, 15.0, 30.0, 60.0]), random);
    client.routes.retain(|(route, _)| route.method == "GET");
    client.routes.truncate(2);
    client
}

/// A client whose bursts reach the quota.
fn polite(setting: &Setting<'_>, product: Product, random: &mut Random) -> Client {
    let mut client = server(setting, product, random);
    let per_second = log_normal(random, 0.002, 0.4);
    client.rhythm = setting.seasonal(per_second, Curve::Daytime, burst(20.0, 0.6, 0.4));
    client.error_share = random.random_range(0.05..0.25);
    client.errors = THROTTLED;
    client.retries = Retries::Polite;
    client
}

fn newcomer(setting: &Setting<'_>, product: Product, random: &mut Random) -> Client {
    let mut client = server(setting, product, random);
    client.active.start = setting.plan.window().at(random.random_range(0.1..0.9));
    client
}
