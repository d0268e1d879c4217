//! Who plays what: which keys are attacked, how and when, which are merely
//! confusing, and what befalls the whole fleet.

use std::collections::HashMap;

use rand::RngExt;
use rand::seq::SliceRandom;

use super::attacks::{AttackKind, Lifecycle, Pace};
use super::confusers::ConfuserKind;
use super::plan::Plan;
use super::random::{Random, stream};
use super::weather::Weather;
use super::window::Window;
use crate::event::EventTime;

/// The random stream of the casting; keys use the streams below it.
const CASTING_STREAM: u64 = u64::MAX;
/// Beyond one attack of each kind, so many of the keys are attacked.
const ATTACKED_SHARE: f64 = 0.15;
/// One key in so many plays each confuser of single keys.
const KEYS_PER_CONFUSER: u32 = 60;
/// Confusers of single keys leave so many of the unattacked keys alone.
const ORDINARY_SHARE: f64 = 0.7;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Part {
    Ordinary,
    Victim {
        kind: AttackKind,
        window: Window,
    },
    Confusing {
        kind: ConfuserKind,
        at: EventTime,
    },
    /// Takes over from the key that is rotated out.
    Successor {
        of: u32,
        handover: Handover,
    },
}

/// A rotation: both keys are valid between the two instants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Handover {
    pub rotated_at: EventTime,
    pub grace_ends_at: EventTime,
}

impl Handover {
    /// A handover that is over some time before `instant`.
    pub fn before(instant: EventTime, plan: &Plan) -> Self {
        let run_so_far = Window { start: plan.start, end: instant };
        Self { rotated_at: run_so_far.at(0.6), grace_ends_at: run_so_far.at(0.85) }
    }
}

/// The parts of all keys that have one.
#[derive(Debug)]
pub(super) struct Cast {
    parts: HashMap<u32, Part>,
    successors: HashMap<u32, u32>,
    pub weather: Weather,
    /// Attacks for which there was no key left.
    pub unplaced: Vec<AttackKind>,
}

impl Cast {
    pub fn new(plan: &Plan) -> Self {
        let mut random = stream(plan.seed, CASTING_STREAM);
        let mut free: Vec<u32> = (0..plan.keys).collect();
        free.shuffle(&mut random);
        let mut cast = Self {
            parts: HashMap::new(),
            successors: HashMap::new(),
            weather: weather(plan),
            unplaced: Vec::new(),
        };
        cast.place_attacks(plan, &mut free, &mut random);
        cast.place_confusers(plan, &mut free, &mut random);
        cast
    }

    pub fn part(&self, key: u32) -> Part {
        self.parts.get(&key).copied().unwrap_or(Part::Ordinary)
    }

    /// The key that follows `key` in a rotation.
    pub fn successor(&self, key: u32) -> Option<u32> {
        self.successors.get(&key).copied()
    }

    fn place_attacks(&mut self, plan: &Plan, free: &mut Vec<u32>, random: &mut Random) {
        let kinds = attack_order(plan, random);
        for (slot, kind) in kinds.iter().enumerate() {
            let window = attack_window(*kind, slot, kinds.len(), plan, random);
            if !self.place_attack(*kind, window, plan, free) {
                self.unplaced.push(*kind);
            }
        }
    }

    fn place_attack(
        &mut self,
        kind: AttackKind,
        window: Window,
        plan: &Plan,
        free: &mut Vec<u32>,
    ) -> bool {
        let retired = kind.recipe().lifecycle == Lifecycle::Retired;
        if free.len() < if retired { 2 } else { 1 } {
            return false;
        }
        let Some(victim) = free.pop() else { return false };
        self.parts.insert(victim, Part::Victim { kind, window });
        if retired {
            self.add_successor(victim, Handover::before(window.start, plan), free);
        }
        true
    }

    fn place_confusers(&mut self, plan: &Plan, free: &mut Vec<u32>, random: &mut Random) {
        let keep = (free.len() as f64 * ORDINARY_SHARE) as usize;
        for _ in 0..plan.keys.div_ceil(KEYS_PER_CONFUSER) {
            for kind in ConfuserKind::OF_ONE_KEY {
                if plan.confusers.contains(kind) && is_possible(kind, plan) && free.len() > keep + 1
                {
                    self.place_confuser(kind, plan, free, random);
                }
            }
        }
    }

    fn place_confuser(
        &mut self,
        kind: ConfuserKind,
        plan: &Plan,
        free: &mut Vec<u32>,
        random: &mut Random,
    ) {
        let Some(key) = free.pop() else { return };
        let at = plan.window().at(random.random_range(0.4..0.85));
        self.parts.insert(key, Part::Confusing { kind, at });
        if kind == ConfuserKind::KeyRotation {
            self.add_successor(key, Handover::before(at, plan), free);
        }
    }

    fn add_successor(&mut self, of: u32, handover: Handover, free: &mut Vec<u32>) {
        if let Some(key) = free.pop() {
            self.parts.insert(key, Part::Successor { of, handover });
            self.successors.insert(of, key);
        }
    }
}

/// One of each kind, then again in turn while that attacks few of the keys.
fn attack_order(plan: &Plan, random: &mut Random) -> Vec<AttackKind> {
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

/// The attacks start evenly over the time after the clean part, so that a
/// short run sees the first at once and a long one is not crowded.
fn attack_window(
    kind: AttackKind,
    slot: usize,
    slots: usize,
    plan: &Plan,
    random: &mut Random,
) -> Window {
    let recipe = kind.recipe();
    let (shortest, longest) = recipe.minutes;
    let clean = plan.clean_seconds.clamp(0.0, plan.seconds);
    let limit = plan.longest_attack_seconds.min(plan.seconds - clean);
    let seconds = (random.random_range(shortest..=longest) * 60.0).min(limit);
    let latest = plan.seconds - seconds;
    let mut share = (slot as f64 + random.random::<f64>()) / slots as f64;
    if recipe.lifecycle != Lifecycle::InUse {
        // The key must have had a life and a silence before.
        share = 0.5 + share / 2.0;
    }
    let start = clean + (latest - clean) * share;
    Window::starting(plan.start.plus_seconds(start), seconds)
}

fn is_possible(kind: ConfuserKind, plan: &Plan) -> bool {
    // Two stays in each of two cities with flights between them need a day.
    kind != ConfuserKind::Traveller || plan.seconds >= 24.0 * 3_600.0
}

fn weather(plan: &Plan) -> Weather {
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

/// Requests a second of an attack at the height of its pace.
pub(super) fn height(pace: Pace, own_per_second: f64) -> f64 {
    (pace.factor * own_per_second).max(pace.at_least)
}

#[cfg(test)]
mod tests {
    use super::super::kinds::{Kind, Selection};
    use super::*;

    fn attacked(plan: &Plan) -> Vec<(AttackKind, Window)> {
        let cast = Cast::new(plan);
        let victim = |key| match cast.part(key) {
            Part::Victim { kind, window } => Some((kind, window)),
            _ => None,
        };
        (0..plan.keys).filter_map(victim).collect()
    }

    #[test]
    fn every_kind_is_placed_after_the_clean_part_and_ends_in_time() {
        let mut plan = Plan::new(400, 72.0 * 3_600.0, 5);
        plan.attacks = Selection(AttackKind::ALL.to_vec());
        let attacked = attacked(&plan);
        for kind in AttackKind::ALL {
            assert!(attacked.iter().any(|(placed, _)| placed == kind), "{kind:?}");
        }
        let clean_until = plan.start.plus_seconds(plan.clean_seconds);
        let end = plan.window().end.plus_seconds(0.001);
        for (kind, window) in attacked {
            assert!(window.start >= clean_until && window.end <= end, "{kind:?}");
        }
    }

    #[test]
    fn attacks_without_a_key_are_told() {
        let mut plan = Plan::new(3, 3_600.0, 5);
        plan.attacks = Selection::all();
        let cast = Cast::new(&plan);
        assert_eq!(cast.unplaced.len(), plan.attacks.0.len() - attacked(&plan).len());
        assert!(!cast.unplaced.is_empty());
    }

    #[test]
    fn no_attacks_and_no_confusers_leave_everyone_ordinary() {
        let mut plan = Plan::new(100, 86_400.0, 5);
        plan.attacks = Selection::none();
        plan.confusers = Selection::none();
        let cast = Cast::new(&plan);
        assert!((0..100).all(|key| cast.part(key) == Part::Ordinary));
        assert!(cast.weather.outage.is_none() && cast.weather.marketing.is_none());
    }
}
