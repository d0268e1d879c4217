//! Defines characters whose clients sign in unusual ways.

use rand::RngExt;

use super::super::agents::{self, Agents};
use super::super::products;
use super::super::random::{Random, log_normal, pick};
use super::super::season::Curve;
use super::super::signing::{Discipline, Signer};
use super::super::site::Site;
use super::super::whereabouts::Whereabouts;
use super::{Character, Habits, Setting, burst};

/// Offsets, in hours, of time zones that a client failed to convert.
const FORGOTTEN: [f64; 4] = [-1.0, 1.0, 2.0, -5.0];

pub(super) fn habits(character: Character, setting: &Setting<'_>, random: &mut Random) -> Habits {
    let is_colliding = character == Character::CollidingWorkers;
    let per_second = log_normal(random, 0.006, 0.6);
    // One message wakes these workers at the same moment.
    let gap = if is_colliding { 0.0012 } else { 0.4 };
    let rhythm = setting.seasonal(per_second, Curve::Flat, burst(5.0, 0.6, gap));
    let machines = if is_colliding || chance_of_two(character, random) { 2 } else { 1 };
    let whereabouts = Whereabouts::Fixed(Site::hosts(setting.home, machines, random));
    let agents = Agents::any(agents::SERVER, random);
    let product = pick(random, &[products::TRADING, products::PAYMENTS]);
    let client = setting.client(rhythm, whereabouts, agents, product, random);
    Habits { clients: vec![client], signers: vec![signer(character, setting, random)] }
}

/// With seconds as nonces, two hosts often share one key.
fn chance_of_two(character: Character, random: &mut Random) -> bool {
    character == Character::SecondsNonce && random.random()
}

fn signer(character: Character, setting: &Setting<'_>, random: &mut Random) -> Signer {
    let signer = |discipline| Signer::new(discipline, true, true);
    match character {
        Character::CollidingWorkers => signer(Discipline::BareMilliseconds).with_workers(4),
        Character::SeveralCounters => {
            signer(Discipline::Counter).with_workers(random.random_range(2..7))
        }
        Character::SecondsNonce => signer(Discipline::BareSeconds),
        Character::DecimalNonce => signer(Discipline::Decimal),
        Character::WrongClock => {
            let mut signer = signer(pick(random, &[Discipline::Uuid, Discipline::Milliseconds]));
            signer.clock.skew_seconds = pick(random, &FORGOTTEN) * 3_600.0;
            signer
        }
        _ => drifting(signer(Discipline::Milliseconds), setting, random),
    }
}

/// The clock drifts up to two minutes before it is corrected.
fn drifting(mut signer: Signer, setting: &Setting<'_>, random: &mut Random) -> Signer {
    let window = setting.plan.window();
    let mended = window.at(random.random_range(0.4..0.7));
    let hours = mended.seconds_since(window.start) / 3_600.0;
    signer.clock.since = window.start;
    signer.clock.drift_per_hour = random.random_range(30.0..120.0) / hours.max(0.1);
    signer.clock.mended_at = Some(mended);
    signer
}
