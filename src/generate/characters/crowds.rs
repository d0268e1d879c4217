//! Defines characters whose keys are inside an app or a web page: thousands of users with an
//! address each.

use rand::RngExt;

use super::super::agents::{self, Agents};
use super::super::places::{NetworkKind, Place, places_where};
use super::super::pool::Pool;
use super::super::products;
use super::super::random::{Random, chance, log_normal, pick};
use super::super::rhythm::Burst;
use super::super::season::Curve;
use super::super::whereabouts::Whereabouts;
use super::{Character, Habits, Setting};

/// Countries with enough networks in the table of places.
const COUNTRIES: [&str; 6] = ["US", "GB", "DE", "FR", "IN", "BR"];
const IN_A_SECOND_COUNTRY: f64 = 0.3;
const SESSION_SECONDS: f64 = 180.0;

pub(super) fn is_well_known(place: &Place) -> bool {
    COUNTRIES.contains(&place.country.as_str())
}

pub(super) fn habits(character: Character, setting: &Setting<'_>, random: &mut Random) -> Habits {
    let is_app = character == Character::AppCrowd;
    let products = if is_app {
        [products::MESSAGING, products::MAPS, products::PAYMENTS]
    } else {
        [products::CONTENT, products::MAPS, products::ANALYTICS]
    };
    let agents = Agents::Many(if is_app { agents::APP_USERS } else { agents::BROWSERS });
    let per_second = log_normal(random, 0.2, 0.5).clamp(0.08, 0.6);
    let rhythm = setting.seasonal(per_second, Curve::Waking, Burst::ONE);
    let whereabouts = Whereabouts::Pool(users(is_app, setting.home, random));
    let product = pick(random, &products);
    Habits::bearer(vec![setting.client(rhythm, whereabouts, agents, product, random)])
}

fn users(is_app: bool, home: &'static Place, random: &mut Random) -> Pool {
    let mut places = networks(&home.country, is_app, 1.0);
    // The home country comes first.
    places.insert(0, (home, 1.0));
    if chance(random, IN_A_SECOND_COUNTRY) {
        places.extend(networks(pick(random, &COUNTRIES), is_app, 0.15));
    }
    let members = random.random_range(2_000..8_000);
    let mut pool = Pool::new(places, 14, SESSION_SECONDS, members, random);
    pool.roams_seconds = Some(3_600);
    pool
}

/// Most users of an app are on mobile carriers, most of a page at home. A few use a VPN or a relay.
fn networks(country: &str, is_app: bool, weight: f64) -> Vec<(&'static Place, f64)> {
    let share = |kind| match kind {
        NetworkKind::Mobile => {
            if is_app {
                2.0
            } else {
                0.8
            }
        }
        NetworkKind::Residential => 1.0,
        NetworkKind::Office => 0.4,
        NetworkKind::Relay => 0.1,
        NetworkKind::Vpn | NetworkKind::Satellite => 0.05,
        NetworkKind::Hosting | NetworkKind::Inflight => 0.0,
    };
    let places = places_where(|place| place.country == country && share(place.kind) > 0.0);
    places.into_iter().map(|place| (place, share(place.kind) * weight)).collect()
}
