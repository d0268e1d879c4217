//! How often owners do what detectors report.
//!
//! A burst or an unusual hour on a machine where the key is established is most often its owner's:
//! a job, a backfill, a sale. The past of one key cannot tell how often owners begin such things. So
//! reports about keys at home that nobody confirmed are counted over the fleet, and later evidence
//! at home is no rarer than they are. Evidence from elsewhere is not concerned.
//!
//! A report counts half at once, and whole after two days in which the key showed no other
//! evidence. A key counts once a week, and the keys of one tenant once a day. Somebody with many
//! keys can make such evidence mild for keys at home; they can neither silence it nor touch evidence
//! from elsewhere.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::alert::DetectorId;
use crate::event::{DAY_SECONDS, EventTime, HOUR_SECONDS};

/// Time in which a report may be confirmed by other evidence, in seconds.
const WAITING_SECONDS: f64 = 2.0 * DAY_SECONDS;
/// A report counts this much in that time.
const WAITING: f64 = 0.5;
/// A key counts once in this time, in seconds.
const REMEMBERED_SECONDS: f64 = 7.0 * DAY_SECONDS;
/// Reports remembered. The oldest give way.
const MAX_REPORTS: usize = 4_096;
const HALF_LIFE_SECONDS: f64 = 30.0 * DAY_SECONDS;

/// What so many holders showed within [`REMEMBERED_SECONDS`] is common.
const COMMON_HOLDERS: usize = 8;

/// A fleet that has not shown anything has this many reports in an hour of use, ...
const PRIOR: f64 = 1e-5;
/// ... which is believed as firmly as so many hours that were seen.
const PRIOR_HOURS: f64 = 3_000.0;

/// A burst is faster than another if its minute exceeds these multiples of the key's largest.
const SPEED_BOUNDS: [f64; 3] = [4.0, 8.0, 16.0];

/// Something that owners do and that is reported. New routes and taken data are not among it: they
/// are rare enough in ordinary life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Kind(u8);

impl Kind {
    const BURSTS: u8 = SPEED_BOUNDS.len() as u8 + 1;
    const ALL: usize = Self::BURSTS as usize + 5;
    pub const RISE: Self = Self(Self::BURSTS);

    /// A burst whose minute is this multiple of the largest minute of its key.
    pub fn burst(speed: f64) -> Self {
        Self(SPEED_BOUNDS.iter().filter(|bound| speed >= **bound).count() as u8)
    }

    /// What the detector reports. `None` for what owners hardly do.
    pub fn of(detector: DetectorId) -> Option<Self> {
        let place = match detector {
            DetectorId::BehaviourOutlier => 1,
            DetectorId::ErrorBurst => 2,
            DetectorId::ThrottledBurst => 3,
            DetectorId::AuthFailureBurst => 4,
            _ => return None,
        };
        Some(Self(Self::BURSTS + place))
    }

    /// Whether the key does more than it did.
    pub fn is_volume(self) -> bool {
        self <= Self::RISE
    }

    /// Whether it is a stretch of much work, and neither a lasting rise nor failures.
    pub fn is_work(self) -> bool {
        self.is_burst() || Some(self) == Self::of(DetectorId::BehaviourOutlier)
    }

    fn is_burst(self) -> bool {
        self.0 < Self::BURSTS
    }

    /// This kind, and the faster bursts.
    fn and_beyond(self) -> RangeInclusive<Self> {
        self..=if self.is_burst() { Self(Self::BURSTS - 1) } else { self }
    }

    /// The kinds that a key shows by the same act.
    fn alike(self) -> RangeInclusive<Self> {
        if self.is_burst() { Self(0).and_beyond() } else { self.and_beyond() }
    }
}

/// Keys with this many requests an hour or more are in the next class. A key that is hardly used
/// has other jobs than a busy one.
const CLASS_BOUNDS: [f64; 3] = [1.0, 10.0, 100.0];

/// Keys that are used about as much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class(u8);

impl Class {
    /// The class of a key with so many requests an hour, on average.
    pub fn of(requests_an_hour: f64) -> Self {
        Self(CLASS_BOUNDS.iter().filter(|bound| requests_an_hour >= **bound).count() as u8)
    }
}

/// Who is reported: hashes of the key and of its tenant, if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    pub key: u64,
    pub tenant: Option<u64>,
}

impl Reported {
    /// The tenant, or the key where there is none.
    fn holder(self) -> u64 {
        self.tenant.unwrap_or(self.key)
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Report {
    tenant: Option<u64>,
    class: Class,
    time: EventTime,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Waiting,
    Counted,
    /// There was other evidence about the key.
    Confirmed,
}

impl State {
    const fn weight(self) -> f64 {
        match self {
            Self::Waiting => WAITING,
            Self::Counted => 1.0,
            Self::Confirmed => 0.0,
        }
    }
}

/// Decayed hours of use of a class, and its unconfirmed reports by kind.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Count {
    hours: f64,
    reports: [f64; Kind::ALL],
}

/// Unconfirmed reports about keys at home.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Unconfirmed {
    counts: [Count; CLASS_BOUNDS.len() + 1],
    /// By the hash of the key: each event of a burst asks for the key's own.
    reports: BTreeMap<(u64, Kind), Report>,
    counted_until: Option<EventTime>,
}

impl Unconfirmed {
    /// Counts an hour before `time` in which a key of this class was used.
    pub fn add_hour(&mut self, class: Class, time: EventTime) {
        self.count_until(time);
        self.counts[usize::from(class.0)].hours += 1.0;
    }

    /// Probability that another key of this class shows this, or a faster burst, in an hour of use,
    /// although it is at home. A class that has shown little is held to be like the others.
    /// What the key did itself is judged by its own past.
    pub fn p_value(&self, kind: Kind, class: Class, key: u64) -> f64 {
        let every = (0..).map(Class).zip(&self.counts);
        let of = |(class, count): (Class, &Count)| self.others(count, class, kind, key);
        let hours = self.counts.iter().map(|count| count.hours).sum();
        let of_fleet = rate(every.map(of).sum(), hours, PRIOR);
        let count = &self.counts[usize::from(class.0)];
        rate(of((class, count)), count.hours, of_fleet)
    }

    /// Whether many holders of other keys did this, or a faster burst, lately: keys of one tenant, or
    /// of a few, do not make it common.
    pub fn is_common(&self, kind: Kind, who: Reported) -> bool {
        let (this, kinds) = (who.holder(), kind.and_beyond());
        let mut holders = Vec::with_capacity(COMMON_HOLDERS);
        for ((key, other), report) in &self.reports {
            let holder = report.tenant.unwrap_or(*key);
            let counts = report.state != State::Confirmed && kinds.contains(other);
            if counts && holder != this && !holders.contains(&holder) {
                holders.push(holder);
            }
            if holders.len() >= COMMON_HOLDERS {
                return true;
            }
        }
        false
    }

    /// Reports of this kind, or of faster bursts, about other keys of a class.
    fn others(&self, count: &Count, class: Class, kind: Kind, key: u64) -> f64 {
        let kinds = kind.and_beyond();
        let places = usize::from(kinds.start().0)..=usize::from(kinds.end().0);
        let own = self.of_key(key, kinds).filter(|report| report.class == class);
        let own: f64 = own.map(|report| report.state.weight()).sum();
        (count.reports[places].iter().sum::<f64>() - own).max(0.0)
    }

    fn of_key(&self, key: u64, kinds: RangeInclusive<Kind>) -> impl Iterator<Item = &Report> {
        self.reports.range((key, *kinds.start())..=(key, *kinds.end())).map(|(_, report)| report)
    }

    /// Notes a report about a key at home.
    pub fn report(&mut self, who: Reported, kind: Kind, class: Class, time: EventTime) {
        self.count_until(time);
        let Reported { key, tenant } = who;
        if self.of_key(key, kind.alike()).next().is_some() || self.has_of_tenant(who, kind, time) {
            return;
        }
        if self.reports.len() == MAX_REPORTS {
            let oldest = self.reports.iter().min_by_key(|(_, report)| report.time);
            let oldest = oldest.map(|(place, _)| *place);
            oldest.and_then(|place| self.reports.remove(&place));
        }
        self.reports.insert((key, kind), Report { tenant, class, time, state: State::Waiting });
        self.counts[usize::from(class.0)].reports[usize::from(kind.0)] += WAITING;
    }

    /// Whether another key of the tenant was reported for the same within a day.
    fn has_of_tenant(&self, who: Reported, kind: Kind, time: EventTime) -> bool {
        let is_same = |((_, other), report): (&(u64, Kind), &Report)| {
            report.tenant == who.tenant
                && kind.alike().contains(other)
                && time.seconds_since(report.time) < DAY_SECONDS
        };
        who.tenant.is_some() && self.reports.iter().any(is_same)
    }

    /// Notes that there is evidence about the key which its owner's work does not explain.
    pub fn confirm(&mut self, key: u64) {
        self.settle(|of, _| of == key, State::Confirmed);
    }

    /// Ends the waiting of reports.
    fn settle(&mut self, is_over: impl Fn(u64, &Report) -> bool, end: State) {
        for ((key, kind), report) in &mut self.reports {
            if report.state == State::Waiting && is_over(*key, report) {
                report.state = end;
                let count = &mut self.counts[usize::from(report.class.0)];
                let reports = &mut count.reports[usize::from(kind.0)];
                // What waited has decayed since.
                *reports = (*reports + end.weight() - WAITING).max(0.0);
            }
        }
    }

    /// Counts the reports that have waited long enough by `time`. It looks once an hour, because
    /// keys that are hardly used end an hour with nearly every event.
    fn count_until(&mut self, time: EventTime) {
        let begun = *self.counted_until.get_or_insert(time);
        let seconds = time.seconds_since(begun);
        if seconds < HOUR_SECONDS {
            return;
        }
        self.counted_until = Some(time);
        self.decay((-seconds / HALF_LIFE_SECONDS).exp2());
        let age = |report: &Report| time.seconds_since(report.time);
        self.settle(|_, report| age(report) >= WAITING_SECONDS, State::Counted);
        self.reports.retain(|_, report| age(report) < REMEMBERED_SECONDS);
    }

    fn decay(&mut self, keep: f64) {
        for count in &mut self.counts {
            count.hours *= keep;
            count.reports.iter_mut().for_each(|reports| *reports *= keep);
        }
    }
}

/// Reports in an hour, where `prior` is believed as firmly as [`PRIOR_HOURS`].
fn rate(reports: f64, hours: f64, prior: f64) -> f64 {
    (reports + prior * PRIOR_HOURS) / (hours + PRIOR_HOURS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: Class = Class(2);
    const SLOW: Kind = Kind(0);
    /// A key that is not reported.
    const OTHER: u64 = 1_000;

    fn at(day: f64) -> EventTime {
        EventTime::from_seconds(1_767_571_200).plus_seconds(day * DAY_SECONDS)
    }

    fn key(key: u64) -> Reported {
        Reported { key, tenant: None }
    }

    /// A fleet of 100 keys that was used for ten days.
    fn used() -> Unconfirmed {
        let mut fleet = Unconfirmed::default();
        (0..24_000).for_each(|_| fleet.add_hour(BUSY, at(0.0)));
        fleet
    }

    fn p_value(fleet: &mut Unconfirmed, day: f64) -> f64 {
        fleet.count_until(at(day));
        fleet.p_value(SLOW, BUSY, OTHER)
    }

    #[test]
    fn what_many_owners_do_is_no_rarer_than_they_do_it() {
        let mut fleet = used();
        assert!(p_value(&mut fleet, 0.0) < PRIOR / 5.0);
        (0..20).for_each(|n| fleet.report(key(n), SLOW, BUSY, at(0.1)));
        let waiting = p_value(&mut fleet, 2.0);
        let counted = p_value(&mut fleet, 2.2);
        assert!(waiting > 2e-4 && counted > 1.5 * waiting, "{waiting} {counted}");
        for other in [Kind::burst(20.0), Kind::RISE] {
            assert!(fleet.p_value(other, BUSY, OTHER) < 1.01 * PRIOR, "{other:?}");
        }
    }

    #[test]
    fn a_class_that_has_shown_little_is_like_the_others_until_it_differs() {
        let idle = Class(0);
        let mut fleet = used();
        (0..20).for_each(|n| fleet.report(key(n), SLOW, BUSY, at(0.0)));
        let (busy, unknown) = (fleet.p_value(SLOW, BUSY, OTHER), fleet.p_value(SLOW, idle, OTHER));
        assert!((unknown / busy - 1.0).abs() < 0.2, "{unknown} {busy}");
        (0..60_000).for_each(|_| fleet.add_hour(idle, at(0.0)));
        assert!(fleet.p_value(SLOW, idle, OTHER) < busy / 5.0);
    }

    #[test]
    fn a_key_counts_once_a_week_and_a_tenant_once_a_day() {
        let mut fleet = used();
        (0..50).for_each(|n| fleet.report(key(1), SLOW, BUSY, at(f64::from(n) / 10.0)));
        let of_one_tenant = |key| Reported { key, tenant: Some(7) };
        (10..60).for_each(|n| fleet.report(of_one_tenant(n), SLOW, BUSY, at(5.0)));
        fleet.count_until(at(8.0));
        let counted: f64 = fleet.counts[2].reports[0];
        assert!((1.5..=2.0).contains(&counted), "{counted}");
    }

    #[test]
    fn what_is_common_was_done_by_many_holders() {
        let mut fleet = used();
        let asks = key(OTHER);
        let of_one_tenant = |key| Reported { key, tenant: Some(7) };
        (100..130).for_each(|n| fleet.report(of_one_tenant(n), SLOW, BUSY, at(0.0)));
        (0..6).for_each(|n| fleet.report(key(n), Kind::burst(9.0), BUSY, at(0.0)));
        assert!(!fleet.is_common(SLOW, asks), "seven holders");
        fleet.report(key(6), SLOW, BUSY, at(0.0));
        assert!(fleet.is_common(SLOW, asks) && !fleet.is_common(SLOW, key(6)));
        assert!(!fleet.is_common(Kind::burst(9.0), asks) && !fleet.is_common(Kind::RISE, asks));
    }

    #[test]
    fn fast_bursts_are_slow_ones_too() {
        let mut fleet = used();
        (0..20).for_each(|n| fleet.report(key(n), Kind::burst(9.0), BUSY, at(0.0)));
        let [slow, same, faster] =
            [0.0, 9.0, 20.0].map(|speed| fleet.p_value(Kind::burst(speed), BUSY, OTHER));
        assert!(slow == same && same > 2e-4 && faster < PRIOR, "{slow} {same} {faster}");
    }

    #[test]
    fn a_keys_own_reports_are_not_held_against_it() {
        let mut fleet = used();
        fleet.report(key(1), SLOW, BUSY, at(0.0));
        assert!(fleet.p_value(SLOW, BUSY, 1) < fleet.p_value(SLOW, BUSY, OTHER) / 2.0);
    }

    #[test]
    fn a_report_that_other_evidence_confirms_does_not_count() {
        let mut fleet = used();
        fleet.report(key(1), SLOW, BUSY, at(0.0));
        fleet.confirm(1);
        assert!(p_value(&mut fleet, 3.0) < PRIOR);
    }

    #[test]
    fn an_empty_fleet_forgets_within_months() {
        let mut fleet = used();
        (0..20).for_each(|n| fleet.report(key(n), SLOW, BUSY, at(0.0)));
        let after = p_value(&mut fleet, 3.0);
        assert!(p_value(&mut fleet, 200.0) < after / 5.0);
    }
}
