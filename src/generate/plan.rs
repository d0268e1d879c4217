//! Defines the plan: the input of the generator.

use super::attacks::AttackKind;
use super::characters::Character;
use super::confusers::ConfuserKind;
use super::kinds::Selection;
use super::window::Window;
use crate::event::EventTime;

/// Monday, 5 January 2026, so that the first week is a whole one.
const DEFAULT_START: EventTime = EventTime::from_seconds(1_767_571_200);
/// Attacks begin after this share of the time.
const CLEAN_SHARE: f64 = 1.0 / 3.0;
/// An attack lasts at most this share of the time in which attacks happen.
const LONGEST_ATTACK_SHARE: f64 = 0.35;

/// All inputs of the generator: the same plan gives the same bytes.
#[derive(Clone, Debug)]
pub struct Plan {
    pub keys: u32,
    pub start: EventTime,
    pub seconds: f64,
    pub seed: u64,
    /// Characters of the keys, in their usual shares; at least one.
    pub characters: Selection<Character>,
    pub attacks: Selection<AttackKind>,
    pub confusers: Selection<ConfuserKind>,
    /// No attack begins within this time from the start.
    pub clean_seconds: f64,
    /// No attack lasts longer; many kinds are shorter by nature.
    pub longest_attack_seconds: f64,
    /// Mean requests a second of the whole fleet without attacks; `None` uses the characters' own
    /// rates.
    pub requests_per_second: Option<f64>,
}

impl Plan {
    /// A plan with all characters, attacks and confusers; the first third of the time has no
    /// attacks.
    pub fn new(keys: u32, seconds: f64, seed: u64) -> Self {
        let clean_seconds = seconds * CLEAN_SHARE;
        Self {
            keys,
            start: DEFAULT_START,
            seconds,
            seed,
            characters: Selection::all(),
            attacks: Selection::all(),
            confusers: Selection::all(),
            clean_seconds,
            longest_attack_seconds: (seconds - clean_seconds) * LONGEST_ATTACK_SHARE,
            requests_per_second: None,
        }
    }

    pub(super) fn window(&self) -> Window {
        Window::starting(self.start, self.seconds)
    }
}
