//! Assigns parts to keys: which are attacked, how and when, and which play confusers.

use std::collections::HashMap;

use rand::RngExt;
use rand::seq::SliceRandom;

use super::attacks::{AttackKind, Lifecycle};
use super::characters::Character;
use super::confusers::ConfuserKind;
use super::plan::Plan;
use super::random::{Random, stream};
use super::schedule::{attack_order, attack_window, log_weather, weather};
use super::weather::{LogWeather, Weather};
use super::window::Window;
use crate::event::EventTime;

/// The random stream of the casting; the keys use the streams below it.
const CASTING_STREAM: u64 = u64::MAX;
const DEALING_STREAM: u64 = u64::MAX - 1;
/// A key for a part is searched among this many, so that casting a large fleet takes linear time.
const SEARCHED_KEYS: usize = 1_000;
/// For every confuser of single keys, one key in this many plays it.
const KEYS_PER_CONFUSER: u32 = 60;
/// Confusers of single keys leave this share of the unattacked keys alone.
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
    /// Replaces the key that is rotated out.
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
    /// A handover that ended some time before `instant`.
    pub fn before(instant: EventTime, plan: &Plan) -> Self {
        let run_so_far = Window { start: plan.start, end: instant };
        Self { rotated_at: run_so_far.at(0.6), grace_ends_at: run_so_far.at(0.85) }
    }

    /// The span in which the clients change over. Careful clients finish well before the end of the
    /// grace.
    pub const fn overlap(&self) -> Window {
        Window { start: self.rotated_at, end: self.changed_over_at() }
    }

    const fn changed_over_at(&self) -> EventTime {
        let (from, to) = (self.rotated_at.as_micros(), self.grace_ends_at.as_micros());
        EventTime::from_micros(from + (to - from) / 10 * 6)
    }
}

/// The parts of all keys that have one.
#[derive(Debug)]
pub(super) struct Cast {
    parts: HashMap<u32, Part>,
    successors: HashMap<u32, u32>,
    /// The character of every key whose part does not assign another one.
    characters: Vec<Character>,
    pub weather: Weather,
    pub log: LogWeather,
    /// Attacks for which there was no suitable key or not enough time.
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
            characters: deal(plan),
            weather: weather(plan),
            log: log_weather(plan),
            unplaced: Vec::new(),
        };
        cast.place_attacks(plan, &mut free, &mut random);
        cast.place_confusers(plan, &mut free, &mut random);
        cast
    }

    pub fn part(&self, key: u32) -> Part {
        self.parts.get(&key).copied().unwrap_or(Part::Ordinary)
    }

    pub fn character(&self, key: u32) -> Character {
        self.characters[key as usize]
    }

    /// The key that replaces `key` in a rotation.
    pub fn successor(&self, key: u32) -> Option<u32> {
        self.successors.get(&key).copied()
    }

    /// The confuser that the key plays; a successor plays that of its predecessor.
    pub fn confuser(&self, key: u32) -> Option<ConfuserKind> {
        match self.part(key) {
            Part::Confusing { kind, .. } => Some(kind),
            Part::Successor { .. } => Some(ConfuserKind::KeyRotation),
            Part::Ordinary | Part::Victim { .. } => None,
        }
    }

    /// A fleet of one key.
    #[cfg(test)]
    pub fn of_one(part: Part, plan: &Plan) -> Self {
        let parts = HashMap::from([(0, part)]);
        Self {
            parts,
            successors: HashMap::new(),
            characters: deal(plan),
            weather: Weather::default(),
            log: LogWeather::default(),
            unplaced: Vec::new(),
        }
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
        let recipe = kind.recipe();
        let retired = recipe.lifecycle == Lifecycle::Retired;
        if recipe.suitable(plan).is_empty() || window.seconds() <= 0.0 {
            return false;
        }
        if free.len() < if retired { 2 } else { 1 } {
            return false;
        }
        let Some(victim) = self.take(free, recipe.characters) else { return false };
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
        // The key takes the confuser's character, whatever its own was.
        let Some(key) = self.take(free, &[Character::SteadyServer]) else { return };
        let at = plan.window().at(random.random_range(0.4..0.85));
        self.parts.insert(key, Part::Confusing { kind, at });
        if kind == ConfuserKind::KeyRotation {
            self.add_successor(key, Handover::before(at, plan), free);
        }
    }

    /// Takes a free key for a part of these characters. Settled keys play any settled character,
    /// and also those that no other key can play, so that parts do not use up the fleet's few keys
    /// of other characters.
    fn take(&self, free: &mut Vec<u32>, wanted: &[Character]) -> Option<u32> {
        let oldest = free.len().saturating_sub(SEARCHED_KEYS);
        let search = |suits: &dyn Fn(Character) -> bool| {
            (oldest..free.len()).rev().find(|at| suits(self.character(free[*at])))
        };
        let is_peculiar = !wanted.iter().any(|character| character.is_settled());
        let at = if is_peculiar { search(&|character| wanted.contains(&character)) } else { None };
        match at.or_else(|| search(&Character::is_settled)) {
            Some(at) => Some(free.swap_remove(at)),
            None => free.pop(),
        }
    }

    fn add_successor(&mut self, of: u32, handover: Handover, free: &mut Vec<u32>) {
        if let Some(key) = self.take(free, &[Character::SteadyServer]) {
            self.parts.insert(key, Part::Successor { of, handover });
            self.successors.insert(of, key);
        }
    }
}

fn is_possible(kind: ConfuserKind, plan: &Plan) -> bool {
    // A traveller needs a day: two stays in each of two cities, with flights between them.
    let is_long_enough = kind != ConfuserKind::Traveller || plan.seconds >= 24.0 * 3_600.0;
    is_long_enough && plan.characters.contains(kind.character())
}

/// Deals every character its share, in random order. It uses systematic sampling, so that a
/// character with one expected key gets exactly one.
fn deal(plan: &Plan) -> Vec<Character> {
    let characters = &plan.characters.0;
    let total: f64 = characters.iter().map(|character| character.share()).sum();
    let mut dealt = Vec::with_capacity(plan.keys as usize);
    let mut reached = 0.0;
    for character in characters {
        reached += character.share() / total * f64::from(plan.keys);
        while (dealt.len() as f64) + 0.5 < reached {
            dealt.push(*character);
        }
    }
    let last = characters.last().copied().unwrap_or(Character::SteadyServer);
    dealt.resize(plan.keys as usize, last);
    dealt.shuffle(&mut stream(plan.seed, DEALING_STREAM));
    dealt
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
        let mut plan = Plan::new(400, 96.0 * 3_600.0, 5);
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
    fn every_character_gets_its_share_of_the_keys() {
        let plan = Plan::new(400, 86_400.0, 5);
        let dealt = deal(&plan);
        assert_eq!(dealt.len(), 400);
        for character in Character::ALL {
            let count = dealt.iter().filter(|dealt| *dealt == character).count() as f64;
            assert!((count - character.share() * 400.0).abs() <= 1.0, "{character:?} {count}");
        }
    }

    #[test]
    fn parts_leave_every_character_a_key_of_its_own() {
        let plan = Plan::new(400, 96.0 * 3_600.0, 5);
        let cast = Cast::new(&plan);
        for character in Character::ALL {
            let is_left =
                |key: &u32| cast.character(*key) == *character && cast.part(*key) == Part::Ordinary;
            assert!((0..plan.keys).any(|key| is_left(&key)), "{character:?}");
        }
    }

    #[test]
    fn a_slow_rise_is_left_out_of_a_log_that_is_too_short() {
        let mut plan = Plan::new(40, 72.0 * 3_600.0, 5);
        plan.attacks = Selection(vec![AttackKind::BoilingFrog]);
        assert_eq!(Cast::new(&plan).unplaced[0], AttackKind::BoilingFrog);
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
