//! Defines characters on short-lived machines: builds, functions, a service that scales.

use rand::RngExt;

use super::super::agents::{self, Agents};
use super::super::places::{NetworkKind, Place, places_where};
use super::super::pool::Pool;
use super::super::products;
use super::super::random::{Random, log_normal, pick};
use super::super::rhythm::Burst;
use super::super::season::{Curve, Season};
use super::super::signing::{Discipline, Signer};
use super::super::whereabouts::Whereabouts;
use super::{Character, Habits, Setting, burst};

/// Every machine is new.
const NEVER_AGAIN: u64 = u64::MAX;
const MICROSOFT: u32 = 8075;
const AMAZON: [u32; 2] = [16509, 14618];
/// Networks of one region of a cloud lie within this distance.
const REGION_KM: f64 = 120.0;

/// Hosted builds run in any American region.
pub(super) fn is_build_cloud(place: &Place) -> bool {
    place.asn == MICROSOFT && place.country == "US"
}

/// One region of the cloud, under both of its AS numbers.
pub(super) fn is_function_cloud(place: &Place) -> bool {
    AMAZON.contains(&place.asn) && place.city == "Ashburn" && place.is_v4()
}

pub(super) fn has_room_to_scale(place: &Place) -> bool {
    region(place).len() >= 3
}

fn region(home: &Place) -> Vec<&'static Place> {
    places_where(|place| {
        place.asn == home.asn
            && place.kind == NetworkKind::Hosting
            && place.is_v4()
            && place.distance_km(home) < REGION_KM
    })
}

pub(super) fn habits(character: Character, setting: &Setting<'_>, random: &mut Random) -> Habits {
    match character {
        Character::Ci => builds(setting, random),
        Character::Serverless => functions(setting, random),
        _ => scaling(setting, random),
    }
}

fn evenly(places: Vec<&'static Place>) -> Vec<(&'static Place, f64)> {
    places.into_iter().map(|place| (place, 1.0)).collect()
}

/// Pipelines of a few dozen requests during working hours, and a few at night.
fn builds(setting: &Setting<'_>, random: &mut Random) -> Habits {
    let seats = random.random_range(1..4);
    let pool = Pool::new(evenly(places_where(is_build_cloud)), seats, 600.0, NEVER_AGAIN, random);
    let per_second = log_normal(random, 4e-4, 0.5);
    let rhythm = setting.seasonal(per_second, Curve::Office, burst(25.0, 0.8, 4.0));
    let agents = Agents::any(agents::JOBS, random);
    let product = pick(random, &[products::STORAGE, products::ANALYTICS]);
    let whereabouts = Whereabouts::Pool(pool);
    Habits::bearer(vec![setting.client(rhythm, whereabouts, agents, product, random)])
}

/// Instances live about a quarter of an hour; there are more of them by day.
fn functions(setting: &Setting<'_>, random: &mut Random) -> Habits {
    let life = random.random_range(600.0..2_400.0);
    let places = evenly(places_where(is_function_cloud));
    let mut pool = Pool::new(places, 8, life, NEVER_AGAIN, random);
    pool.busy = Some(Season::new(Curve::Daytime, setting.home.utc_offset_minutes));
    let per_second = log_normal(random, 0.05, 0.7);
    let rhythm = setting.seasonal(per_second, Curve::Daytime, burst(2.0, 0.5, 0.3));
    let agents = Agents::any(agents::SERVER, random);
    let product = pick(random, &products::ORDINARY);
    let whereabouts = Whereabouts::Pool(pool);
    let clients = vec![setting.client(rhythm, whereabouts, agents, product, random)];
    Habits { clients, signers: vec![Signer::new(Discipline::Uuid, true, true)] }
}

fn scaling(setting: &Setting<'_>, random: &mut Random) -> Habits {
    let life = random.random_range(2.0..9.0) * 3_600.0;
    let mut pool = Pool::new(evenly(region(setting.home)), 6, life, NEVER_AGAIN, random);
    pool.busy = Some(Season::new(Curve::Daytime, setting.home.utc_offset_minutes));
    let per_second = log_normal(random, 0.1, 0.6);
    let rhythm = setting.seasonal(per_second, Curve::Daytime, Burst::ONE);
    let agents = Agents::any(agents::SERVER, random);
    let product = pick(random, &products::ORDINARY);
    let whereabouts = Whereabouts::Pool(pool);
    Habits::bearer(vec![setting.client(rhythm, whereabouts, agents, product, random)])
}
