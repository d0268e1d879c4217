//! Opens a breaker when Keywatch acts on so many keys that a fault of its own is likely.
//!
//! Whether a breaker is open follows from the requests so far, so that all processes agree and
//! nobody needs to close it. Somebody with many keys of their own can open one. The part of the
//! budget that is kept for certain incidents therefore stays available, a breaker for one kind of
//! evidence holds up no other kind, and a person is told.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::PolicyConfig;
use crate::detect::{Family, family};
use crate::event::{DAY_SECONDS, EventTime};

use super::budget::Budget;
use crate::alert::Alert;

/// Fewer keys than this open no breaker, however few keys are in use.
const LEAST_KEYS: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Actions on one kind of evidence within an hour.
    Evidence(Family),
    /// The share of the keys in use that was acted upon within a day.
    Share,
}

/// An open breaker.
#[derive(Clone, Debug, PartialEq)]
pub struct Breaker {
    pub cause: Cause,
    /// Actions, or keys.
    pub count: usize,
    /// The largest count that leaves the breaker closed.
    pub bound: usize,
    /// The time of the request that passed the bound.
    pub since: EventTime,
}

impl Cause {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Evidence(family) => family.as_str(),
            Self::Share => "share",
        }
    }
}

impl Breaker {
    /// Whether it holds up this proposal.
    pub fn holds(&self, proposal: &Alert) -> bool {
        match self.cause {
            Cause::Share => true,
            Cause::Evidence(kind) => kind_of(proposal) == Some(kind),
        }
    }
}

/// The kind of the strongest evidence.
pub fn kind_of(alert: &Alert) -> Option<Family> {
    alert.detectors.first().map(|detector| family(*detector))
}

/// Returns the breakers that are open at `now`. `keys_in_use` is the number of keys with an
/// accepted request within a day; without it, only kinds of evidence count.
pub fn open_breakers(
    config: &PolicyConfig,
    budget: &Budget,
    keys_in_use: Option<u64>,
    now: EventTime,
) -> Vec<Breaker> {
    let mut by_kind: BTreeMap<Family, Vec<EventTime>> = BTreeMap::new();
    for it in budget.last_hour(now) {
        if let Some(kind) = it.family {
            by_kind.entry(kind).or_default().push(it.time);
        }
    }
    let most = config.breaker_same_evidence as usize;
    let evidence = by_kind.into_iter().filter_map(|(kind, times)| {
        let since = passed(times, most)?;
        Some((Cause::Evidence(kind), since))
    });
    let evidence =
        evidence.map(|(cause, (count, since))| Breaker { cause, count, bound: most, since });
    let share = keys_in_use.and_then(|keys| {
        let bound = ((keys as f64 * config.breaker_key_share) as usize).max(LEAST_KEYS);
        let (count, since) = passed(first_times(budget, now), bound)?;
        Some(Breaker { cause: Cause::Share, count, bound, since })
    });
    evidence.chain(share).collect()
}

/// When each key was acted upon first within the last day.
fn first_times(budget: &Budget, now: EventTime) -> Vec<EventTime> {
    let mut spent: Vec<_> = budget.spent().iter().collect();
    spent.retain(|it| now.seconds_since(it.time) < DAY_SECONDS);
    spent.sort_by_key(|it| it.time);
    let mut keys = BTreeSet::new();
    spent.retain(|it| keys.insert(&it.key_id));
    spent.into_iter().map(|it| it.time).collect()
}

/// The number of times and the one that passed `most`, if there are more than that.
fn passed(mut times: Vec<EventTime>, most: usize) -> Option<(usize, EventTime)> {
    times.sort_unstable();
    times.get(most).map(|since| (times.len(), *since))
}

#[cfg(test)]
mod tests {
    use super::super::budget::Spent;
    use super::super::budget::tests::{at, spent};
    use super::*;
    use crate::alert::{Action, DetectorId};
    use crate::deliver::fixtures;

    fn budget(seconds: std::ops::Range<i64>) -> Budget {
        let spent = seconds.map(|second| spent(second, Action::Suspend, "")).collect();
        Budget::new(&PolicyConfig::default(), spent)
    }

    fn causes(budget: &Budget, keys_in_use: Option<u64>, now: i64) -> Vec<(Cause, usize)> {
        let open = open_breakers(&PolicyConfig::default(), budget, keys_in_use, at(now));
        open.into_iter().map(|breaker| (breaker.cause, breaker.count)).collect()
    }

    #[test]
    fn actions_on_one_kind_of_evidence_open_a_breaker_for_this_kind_for_a_time() {
        assert_eq!(causes(&budget(0..12), None, 20), []);
        let open = Cause::Evidence(Family::Replay);
        assert_eq!(causes(&budget(0..13), None, 20), [(open, 13)]);
        assert_eq!(causes(&budget(0..13), None, 3_601), []);
        let breakers = open_breakers(&PolicyConfig::default(), &budget(0..13), None, at(20));
        assert_eq!(breakers[0].since, at(12));
        let alert =
            |detector| Alert { detectors: vec![detector], ..fixtures::alert("impossible_travel") };
        assert!(breakers[0].holds(&alert(DetectorId::DuplicateNonce)));
        assert!(!breakers[0].holds(&alert(DetectorId::ImpossibleTravel)));
    }

    #[test]
    fn a_share_of_the_keys_in_use_opens_a_breaker_for_all() {
        // Two of a hundred.
        assert_eq!(causes(&budget(0..5), Some(100), 20), [], "at least five keys");
        assert_eq!(causes(&budget(0..6), Some(100), 20), [(Cause::Share, 6)]);
        assert_eq!(causes(&budget(0..6), Some(10_000), 20), []);
        let same_key =
            |second| Spent { key_id: "one".into(), ..spent(second, Action::Suspend, "") };
        let one = Budget::new(&PolicyConfig::default(), (0..9).map(same_key).collect());
        assert_eq!(causes(&one, Some(10), 20), []);
    }
}
