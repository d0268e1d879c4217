//! What to generate.

use super::attacks::AttackKind;
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

/// Everything that decides the output: the same plan gives the same bytes.
#[derive(Clone, Debug)]
pub struct Plan {
    pub keys: u32,
    pub start: EventTime,
    pub seconds: f64,
    pub seed: u64,
    pub attacks: Selection<AttackKind>,
    pub confusers: Selection<ConfuserKind>,
    /// No attack begins in the first so many seconds.
    pub clean_seconds: f64,
    /// No attack lasts longer; many are shorter by nature.
    pub longest_attack_seconds: f64,
    /// Mean requests a second of the whole fleet without attacks; the
    /// characters' own when `None`.
    pub requests_per_second: Option<f64>,
}

impl Plan {
    /// All attacks and confusers, the first third of the time without attacks.
    pub fn new(keys: u32, seconds: f64, seed: u64) -> Self {
        let clean_seconds = seconds * CLEAN_SHARE;
        Self {
            keys,
            start: DEFAULT_START,
            seconds,
            seed,
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
