//! Finds ids that are requested in order, or far more ids than usual: `access.enumeration` (OWASP
//! API1:2023, broken object level authorization).

use serde_json::json;
use statrs::function::erf::erfc;

use super::Signal;
use crate::alert::DetectorId;
use crate::event::DAY_SECONDS;
use crate::profile::volume::{ABOVE_LARGEST, WalkProfile};

/// A younger key has not yet shown its daily jobs.
pub const MIN_KNOWN_SECONDS: f64 = DAY_SECONDS;
/// Least number of hours in which the key requested ids.
const MIN_HOURS: u16 = 12;
/// Fewer steps are not a walk.
const MIN_STEPS: u16 = 20;
/// The steps of a walk have a geometric tail whose mean is this multiple of the longest walk: a
/// list that grows needs a longer walk every day.
const LONGER_WALKS: f64 = 2.0;
/// Fewer distinct ids are never a finding.
const MIN_IDS: f64 = 100.0;
/// Least spread of the logarithm of distinct ids, because their count is approximate.
const MIN_SPREAD: f64 = 0.6;

/// An enumeration of ids.
#[derive(Clone, Copy, Debug)]
pub struct Enumeration {
    pub p_value: f64,
    is_ordered: bool,
}

/// The walks of a young key are judged as if it had made such a long one before ...
const YOUNG_WALK: f64 = 5.0;
/// ... and only if at least this share of its requests names nothing that exists.
const YOUNG_MISSES: f64 = 0.2;
/// Ids in no order are a young key's probes if at least this share names nothing that exists. They
/// are judged as if this many were usual, with this spread of the logarithm.
const PROBE_MISSES: f64 = 0.5;
/// A minute with fewer requests counts as one with so many: one miss is no probing.
const PROBES: u32 = 20;
const YOUNG_IDS: f64 = 10.0;
const YOUNG_SPREAD: f64 = 0.7;

/// Judges the current hour so far.
///
/// On a key's first day, and before it has requested ids in twelve hours, ids are judged only if a
/// large share of this minute's requests failed: whoever fetches what is listed meets what exists.
///
/// The steps of walks are judged by a geometric tail over the most steps of earlier hours. Distinct
/// ids are judged as log-normal.
pub fn find_enumeration(
    walks: &WalkProfile,
    known_seconds: f64,
    (requests, failed): (u32, u32),
) -> Option<Enumeration> {
    if known_seconds < MIN_KNOWN_SECONDS || walks.usual_ids().hours() < MIN_HOURS {
        return find_young(walks, (requests, failed));
    }
    if let Some(walk) = find_walk(walks.steps(), walks.most_steps()) {
        return Some(walk);
    }
    let usual = walks.usual_ids();
    find_many(walks, usual.usual(), usual.spread(MIN_SPREAD))
}

fn find_young(walks: &WalkProfile, (requests, failed): (u32, u32)) -> Option<Enumeration> {
    let failing = |least: u32| f64::from(failed) / f64::from(requests.max(least));
    let longest = walks.most_steps().max(YOUNG_WALK);
    let walk = find_walk(walks.steps(), longest).filter(|_| failing(1) >= YOUNG_MISSES);
    let usual = walks.usual_ids().usual().max(YOUNG_IDS);
    let probes =
        || find_many(walks, usual, YOUNG_SPREAD).filter(|_| failing(PROBES) >= PROBE_MISSES);
    walk.or_else(probes)
}

/// Judges the distinct ids, whatever their order. `spread` is that of the logarithm.
fn find_many(walks: &WalkProfile, usual: f64, spread: f64) -> Option<Enumeration> {
    let ids = walks.distinct_ids();
    if ids < MIN_IDS || ids <= ABOVE_LARGEST * walks.usual_ids().largest() {
        return None;
    }
    let p_value = erfc((ids / usual).ln() / spread / std::f64::consts::SQRT_2) / 2.0;
    Some(Enumeration { p_value: p_value.max(f64::MIN_POSITIVE), is_ordered: false })
}

fn find_walk(steps: u16, longest: f64) -> Option<Enumeration> {
    let mean = 1.0 + LONGER_WALKS * longest;
    let p_value = (mean / (1.0 + mean)).powi(i32::from(steps)).max(f64::MIN_POSITIVE);
    (steps >= MIN_STEPS && f64::from(steps) > LONGER_WALKS * longest)
        .then_some(Enumeration { p_value, is_ordered: true })
}

impl Enumeration {
    pub fn into_signal(self, walks: &WalkProfile, route: &str) -> Signal {
        let (steps, ids, usual) = (walks.steps(), walks.distinct_ids(), walks.usual_ids().usual());
        let sentence = if self.is_ordered {
            format!(
                "Requested ids one after another on {route}: {steps} steps from one id to the \
                 next in this hour, and at most {:.0} in any hour before.",
                walks.most_steps()
            )
        } else {
            format!(
                "Requested about {ids:.0} different ids in this hour, most recently on {route}; the \
                 usual number is about {usual:.0}, and the largest recent hour had {:.0}.",
                walks.usual_ids().largest()
            )
        };
        let (observed, expected) =
            if self.is_ordered { (f64::from(steps), walks.most_steps()) } else { (ids, usual) };
        Signal {
            detector: DetectorId::Enumeration,
            p_value: self.p_value,
            observed: Some(observed),
            expected: Some(expected),
            headline: match self.is_ordered {
                true => "requested ids one after another".to_owned(),
                false => {
                    format!("requested {:.0} times as many ids as usual", ids / usual.max(1.0))
                }
            },
            sentence,
            fields: json!({
                "route": route,
                "distinct_ids": ids.round(),
                "usual_ids": usual.round(),
                "is_ordered": self.is_ordered,
                "steps": steps,
                "most_steps_before": walks.most_steps().round(),
            }),
            ceiling: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventTime;

    /// The p-value of the ids `then` in the hour after two days of 30 ids an hour.
    fn p_value(past: impl Fn(i64, u64) -> u64, then: impl Iterator<Item = u64>) -> Option<f64> {
        let mut walks = WalkProfile::default();
        for hour in 0..48 {
            for n in 0..30 {
                walks.count(EventTime::from_seconds(3_600 * hour), 1, past(hour, n), true);
            }
        }
        for id in then {
            walks.count(EventTime::from_seconds(3_600 * 48), 1, id, true);
        }
        find_enumeration(&walks, 2.0 * DAY_SECONDS, (100, 0)).map(|found| found.p_value)
    }

    #[test]
    fn a_walk_of_a_young_key_is_one_if_much_of_it_does_not_exist() {
        let mut walks = WalkProfile::default();
        (0..400).for_each(|id| walks.count(EventTime::from_seconds(60), 1, id, true));
        let p_value = |failed| find_enumeration(&walks, 60.0, failed).map(|it| it.p_value);
        assert!(p_value((100, 40)).is_some_and(|p| p < 1e-7), "{:?}", p_value((100, 40)));
        assert_eq!(p_value((100, 0)), None);
    }

    #[test]
    fn probes_of_a_young_key_for_ids_that_do_not_exist_are_an_enumeration() {
        let mut walks = WalkProfile::default();
        let time = EventTime::from_seconds(60);
        (0..1_400).for_each(|n| walks.count(time, 1, n * 7_919 % 999_983, true));
        let p_value = |failed| find_enumeration(&walks, 60.0, failed).map(|it| it.p_value);
        assert!(p_value((40, 36)).is_some_and(|p| p < 1e-4), "{:?}", p_value((40, 36)));
        assert_eq!(p_value((40, 12)), None);
        assert_eq!(p_value((1, 1)), None, "one page of a catalogue is gone");
    }

    #[test]
    fn a_sparse_keys_walk_of_some_hundred_ids_is_one() {
        let hour = |n: i64| EventTime::from_seconds(3_600 * n);
        let mut walks = WalkProfile::default();
        (0..5).for_each(|day| walks.count(hour(24 * day), 1, day as u64 * 977, true));
        (0..180).for_each(|id| walks.count(hour(150), 1, 500 + id, true));
        let found = find_enumeration(&walks, 6.0 * DAY_SECONDS, (10, 7));
        assert!(found.is_some_and(|it| it.p_value < 1e-6), "{found:?}");
    }

    fn scattered(hour: i64, n: u64) -> u64 {
        (hour as u64 * 31 + n) * 7_919 % 90_000
    }

    #[test]
    fn ids_one_after_the_other_are_an_enumeration() {
        let p = p_value(scattered, 5_000..5_060);
        assert!(p.is_some_and(|p| p < 1e-9), "{p:?}");
    }

    #[test]
    fn many_ids_in_no_order_are_an_enumeration_too() {
        let p = p_value(scattered, (0..3_000).map(|n| n * 7_919 % 999_983));
        assert!(p.is_some_and(|p| p < 1e-6), "{p:?}");
    }

    #[test]
    fn a_key_that_always_walks_is_not_surprising() {
        assert_eq!(p_value(|hour, n| hour as u64 * 40 + n, 9_000..9_040), None);
    }

    #[test]
    fn a_busy_hour_is_not_surprising() {
        assert_eq!(p_value(scattered, (0..90).map(|n| n * 7_919 % 999_983)), None);
    }
}
