//! Schedules the attacks, and the events that affect the whole fleet and its log.

use rand::RngExt;
use rand::seq::SliceRandom;

use super::attacks::{AttackKind, Lifecycle, Shape};
use super::confusers::ConfuserKind;
use super::plan::Plan;
use super::random::Random;
use super::weather::{LogWeather, Weather};
use super::window::Window;

/// After one attack of each kind, attacks are added up to this share of the keys.
const ATTACKED_SHARE: f64 = 0.15;

/// One attack of each kind, then further rounds while only few of the keys are attacked.
pub(super) fn attack_order(plan: &Plan, random: &mut Random) -> Vec<AttackKind> {
    let kinds = &plan.attacks.0;
    if kinds.is_empty() {
        return Vec::new();
    }
    let wanted = (f64::from(plan.keys) * ATTACKED_SHARE) as usize;
    let rounds = (wanted / kinds.len()).max(1);
    let mut order = Vec::with_capacity(rounds * kinds.len());
    for _ in 0..rounds {
        let mut round = kinds.clone();
        round.shuffle(random);
        order.extend(round);
    }
    order
}

/// Attacks start evenly over the time after the clean part, so that a short run has the first one
/// at once and a long run is not crowded.
pub(super) fn attack_window(
    kind: AttackKind,
    slot: usize,
    slots: usize,
    plan: &Plan,
    random: &mut Random,
) -> Window {
    let recipe = kind.recipe();
    let (shortest, longest) = recipe.minutes;
    let clean = plan.clean_seconds.clamp(0.0, plan.seconds);
    let room = plan.seconds - clean;
    let wanted = random.random_range(shortest..=longest) * 60.0;
    let seconds = match recipe.pace.shape {
        // Half a rise would be a different attack.
        Shape::Stairs if wanted > room => 0.0,
        Shape::Stairs => wanted,
        Shape::Steady | Shape::Ramp => wanted.min(plan.longest_attack_seconds.min(room)),
    };
    let latest = plan.seconds - seconds;
    let mut share = (slot as f64 + random.random::<f64>()) / slots as f64;
    if recipe.lifecycle != Lifecycle::InUse {
        // The key must have been active and then silent before.
        share = 0.5 + share / 2.0;
    }
    let start = clean + (latest - clean) * share;
    Window::starting(plan.start.plus_seconds(start), seconds)
}

pub(super) fn log_weather(plan: &Plan) -> LogWeather {
    let window = plan.window();
    let part = |kind, share, seconds: f64| {
        let placed = Window::starting(window.at(share), seconds.min(plan.seconds * 0.01));
        plan.confusers.contains(kind).then_some(placed)
    };
    let later = |part: Window, seconds: f64| {
        (part, part.end.plus_seconds(seconds.min(plan.seconds * 0.02)))
    };
    LogWeather {
        outage: part(ConfuserKind::LogOutage, 0.75, 1_200.0),
        late_batch: part(ConfuserKind::LateBatch, 0.48, 600.0).map(|p| later(p, 2_400.0)),
        repeated_file: part(ConfuserKind::RepeatedFile, 0.9, 300.0).map(|p| later(p, 1_200.0)),
    }
}

pub(super) fn weather(plan: &Plan) -> Weather {
    let window = plan.window();
    let fleet_wide = |kind, share, seconds: f64| {
        let placed = Window::starting(window.at(share), seconds);
        plan.confusers.contains(kind).then_some(placed)
    };
    Weather {
        outage: fleet_wide(ConfuserKind::Outage, 0.55, (plan.seconds * 0.01).min(300.0)),
        marketing: fleet_wide(
            ConfuserKind::MarketingDay,
            0.65,
            (plan.seconds * 0.12).min(8.0 * 3_600.0),
        ),
    }
}
