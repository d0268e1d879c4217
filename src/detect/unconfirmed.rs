//! How often owners do what detectors report.
//!
//! A burst, a new route or a larger hour on a machine where the key is established is most often
//! its owner's: a job, a backfill, a sale. The past of one key cannot tell how often owners begin
//! such things. So reports about keys at home that nobody confirmed are counted over the fleet, and
//! later evidence at home is no rarer than they are. Evidence from elsewhere is not concerned.
//!
//! A report counts half at once, and whole after two days in which the key showed no other
//! evidence. A key counts once a week, and a tenant once a day. Somebody with many keys of many tenants can make a detector
//! mild for keys at home; they can neither silence it nor touch evidence from elsewhere.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::alert::DetectorId;
use crate::event::{DAY_SECONDS, EventTime};

/// Time in which a report may be confirmed by other evidence, in seconds.
const WAITING_SECONDS: f64 = 2.0 * DAY_SECONDS;
/// A report counts this much in that time.
const WAITING: f64 = 0.5;
/// A key counts once in this time, in seconds.
const REMEMBERED_SECONDS: f64 = 7.0 * DAY_SECONDS;
/// Reports remembered. The oldest give way.
const MAX_REPORTS: usize = 4_096;
const HALF_LIFE_SECONDS: f64 = 30.0 * DAY_SECONDS;

/// A fleet that has not shown anything has one report in so many hours of use ...
const PRIOR: f64 = 1e-5;
/// ... and this is believed as firmly as so many hours that were seen.
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

    /// This kind, and the faster bursts.
    fn and_beyond(self) -> std::ops::Range<usize> {
        let end = if self.0 < Self::BURSTS { Self::BURSTS } else { self.0 + 1 };
        usize::from(self.0)..usize::from(end)
    }

    /// Whether a key that shows one shows the other by the same act.
    fn is_like(self, other: Self) -> bool {
        self == other || self.0.max(other.0) < Self::BURSTS
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

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Report {
    who: Reported,
    kind: Kind,
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
    /// In the order in which they were made.
    reports: VecDeque<Report>,
    counted_until: Option<EventTime>,
}

impl Unconfirmed {
    /// Counts an hour before `time` in which a key of this class was used.
    pub fn add_hour(&mut self, class: Class, time: EventTime) {
        self.count_until(time);
        self.counts[usize::from(class.0)].hours += 1.0;
    }

    /// Probability that another key of this class shows this, or a faster burst, in an hour of use,
    /// although it is at home. What the key did itself is judged by its own past.
    pub fn p_value(&self, kind: Kind, class: Class, key: u64) -> f64 {
        let count = &self.counts[usize::from(class.0)];
        let reports: f64 = count.reports[kind.and_beyond()].iter().sum();
        let is_own = |report: &&Report| {
            let is_counted = kind.and_beyond().contains(&usize::from(report.kind.0));
            report.who.key == key && report.class == class && is_counted
        };
        let own: f64 = self.reports.iter().filter(is_own).map(|report| report.state.weight()).sum();
        ((reports - own).max(0.0) + PRIOR * PRIOR_HOURS) / (count.hours + PRIOR_HOURS)
    }

    /// Notes a report about a key at home.
    pub fn report(&mut self, who: Reported, kind: Kind, class: Class, time: EventTime) {
        self.count_until(time);
        let is_recent = |report: &Report| time.seconds_since(report.time) < DAY_SECONDS;
        let is_same = |report: &Report| {
            let is_tenant = who.tenant.is_some() && report.who.tenant == who.tenant;
            report.kind.is_like(kind)
                && (report.who.key == who.key || (is_tenant && is_recent(report)))
        };
        if self.reports.iter().any(is_same) {
            return;
        }
        if self.reports.len() == MAX_REPORTS {
            self.reports.pop_front();
        }
        self.reports.push_back(Report { who, kind, class, time, state: State::Waiting });
        self.counts[usize::from(class.0)].reports[usize::from(kind.0)] += WAITING;
    }

    /// Notes that there is evidence about the key which its owner's work does not explain.
    pub fn confirm(&mut self, key: u64) {
        self.settle(|report| report.who.key == key, State::Confirmed);
    }

    /// Ends the waiting of reports.
    fn settle(&mut self, is_over: impl Fn(&Report) -> bool, end: State) {
        let waiting = self.reports.iter_mut().filter(|report| report.state == State::Waiting);
        for report in waiting.filter(|report| is_over(report)) {
            report.state = end;
            let change = end.weight() - WAITING;
            let count = &mut self.counts[usize::from(report.class.0)];
            let reports = &mut count.reports[usize::from(report.kind.0)];
            // What waited has decayed since.
            *reports = (*reports + change).max(0.0);
        }
    }

    /// Counts the reports that have waited long enough by `time`.
    fn count_until(&mut self, time: EventTime) {
        let begun = self.counted_until.unwrap_or(time);
        self.counted_until = Some(begun.max(time));
        let seconds = time.seconds_since(begun);
        if seconds <= 0.0 {
            return;
        }
        self.decay((-seconds / HALF_LIFE_SECONDS).exp2());
        let age = move |report: &Report| time.seconds_since(report.time);
        self.settle(|report| age(report) >= WAITING_SECONDS, State::Counted);
        while self.reports.front().is_some_and(|report| age(report) >= REMEMBERED_SECONDS) {
            self.reports.pop_front();
        }
    }

    fn decay(&mut self, keep: f64) {
        for count in &mut self.counts {
            count.hours *= keep;
            count.reports.iter_mut().for_each(|reports| *reports *= keep);
        }
    }
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
        for (other, class) in [(Kind::burst(20.0), BUSY), (Kind::RISE, BUSY), (SLOW, Class(0))] {
            assert!(fleet.p_value(other, class, OTHER) < 1.01 * PRIOR, "{other:?} {class:?}");
        }
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
