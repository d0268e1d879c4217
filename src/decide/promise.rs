//! Compares the incidents that each family of detectors opened with the number that it promised.
//!
//! Nobody has said yet which incidents are false, so each one counts as possibly false, within
//! bounds that keep real attacks and common causes from breaking the promise: a key counts once,
//! a tenant counts once a day and a family counts once an hour. One attacked customer, one storm
//! and one deploy are one incident here.
//!
//! A family is restrained only for incidents that asked for more than a notice. Without a key
//! nobody can cause one of these, so that nobody without a key can disarm a family. Somebody with
//! many keys of their own can, at the price of each: one alert says so, and the setting
//! `monitor.on_broken_promise` turns the restraint off.

use std::collections::{BTreeMap, BTreeSet};

use statrs::function::gamma::gamma_lr;
use strum::VariantArray;

use crate::alert::{Alert, DetectorId, Evidence};
use crate::config::DetectConfig;
use crate::detect::{Family, Thresholds, family};
use crate::event::EventTime;

/// The length of history that is compared, in days.
pub const DAYS: i64 = 7;
/// A promise is kept up to this multiple of it.
const TOLERANCE: f64 = 3.0;
/// A promise is broken when so many incidents, or more, have a smaller probability than this.
const BROKEN: f64 = 1e-3;
/// A broken promise holds again when they have a larger probability than this.
const HOLDS_AGAIN: f64 = 0.05;
/// Fewer incidents than this say nothing about a rate, however small the promise is.
const MIN_INCIDENTS: u64 = 3;
/// Fewer acting incidents than this restrain nothing: a few thefts in a week are no fault.
const MIN_ACTING: u64 = 8;

const HOUR_MICROS: i64 = 3_600_000_000;
const DAY_MICROS: i64 = 24 * HOUR_MICROS;

/// An incident about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedIncident {
    pub key_id: String,
    /// Empty for a key without a tenant.
    pub tenant: String,
    /// All detectors of its evidence, the strongest first.
    pub detectors: Vec<DetectorId>,
    pub opened: EventTime,
    /// Whether it ever asked for more than a notice.
    pub is_acting: bool,
}

/// The incidents of one family in [`DAYS`] days.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Balance {
    pub family: Family,
    pub promised: f64,
    pub measured: u64,
    /// Of these, by the same rules, the incidents that asked for more than a notice.
    pub acting: u64,
    /// When the latest of the counted incidents opened.
    pub latest: Option<EventTime>,
}

/// Compares every family that promises something. `incidents` are in the order of their times.
pub fn balances(incidents: &[OpenedIncident], config: &DetectConfig) -> Vec<Balance> {
    let all = count(incidents.iter());
    let acting = count(incidents.iter().filter(|incident| incident.is_acting));
    let balance = |family: &Family| {
        let promised = Thresholds::promised_a_week(config, *family)?;
        let (all, acting) = (all.get(family), acting.get(family));
        let incidents = |count: Option<&Count<'_>>| count.map_or(0, |count| count.incidents);
        Some(Balance {
            family: *family,
            promised,
            measured: incidents(all),
            acting: incidents(acting),
            latest: all.and_then(|count| count.latest),
        })
    };
    Family::VARIANTS.iter().filter_map(balance).collect()
}

impl Balance {
    /// The probability of so many incidents or more if they are a Poisson process at the tolerated
    /// multiple of the promised rate.
    pub fn p_value(&self) -> f64 {
        poisson_tail(self.measured, TOLERANCE * self.promised)
    }

    /// Whether the promise is broken, given whether it was broken until now.
    pub fn is_broken(&self, was_broken: bool) -> bool {
        self.measured >= MIN_INCIDENTS && self.p_value() < limit(was_broken)
    }

    /// Whether a family with a broken promise must be restrained, given whether it was until now.
    pub fn is_acting_too_often(&self, was_restrained: bool) -> bool {
        let tail = poisson_tail(self.acting, TOLERANCE * self.promised);
        self.acting >= MIN_ACTING && tail < limit(was_restrained)
    }
}

/// The family that an alert about a broken promise is about.
pub fn family_of(alert: &Alert) -> Option<Family> {
    let name = alert.evidence.first()?.fields.get("family")?.as_str()?;
    Family::VARIANTS.iter().copied().find(|family| family.as_str() == name)
}

/// Whether such an alert says that the family is restrained.
pub fn is_restrained(alert: &Alert) -> bool {
    let field = |evidence: &Evidence| evidence.fields.get("is_restrained")?.as_bool();
    alert.evidence.first().and_then(field).unwrap_or(false)
}

const fn limit(was: bool) -> f64 {
    if was { HOLDS_AGAIN } else { BROKEN }
}

fn count<'a>(incidents: impl Iterator<Item = &'a OpenedIncident>) -> BTreeMap<Family, Count<'a>> {
    let mut counts = BTreeMap::<Family, Count<'a>>::new();
    for incident in incidents {
        if let Some(family) = sole_family(&incident.detectors) {
            counts.entry(family).or_default().add(incident);
        }
    }
    counts
}

/// The family of an incident that no other family supports. Two families that agree are seldom a
/// false alert.
fn sole_family(detectors: &[DetectorId]) -> Option<Family> {
    let first = family(*detectors.first()?);
    detectors.iter().all(|detector| family(*detector) == first).then_some(first)
}

#[derive(Default)]
struct Count<'a> {
    incidents: u64,
    keys: BTreeSet<&'a str>,
    tenants: BTreeSet<(&'a str, i64)>,
    hours: BTreeSet<i64>,
    latest: Option<EventTime>,
}

impl<'a> Count<'a> {
    fn add(&mut self, incident: &'a OpenedIncident) {
        let micros = incident.opened.as_micros();
        let (day, hour) = (micros.div_euclid(DAY_MICROS), micros.div_euclid(HOUR_MICROS));
        let tenant = (incident.tenant.as_str(), day);
        let is_same_tenant = !incident.tenant.is_empty() && self.tenants.contains(&tenant);
        if is_same_tenant || self.hours.contains(&hour) || !self.keys.insert(&incident.key_id) {
            return;
        }
        self.tenants.insert(tenant);
        self.hours.insert(hour);
        self.incidents += 1;
        self.latest = Some(incident.opened);
    }
}

/// The probability of `count` or more events where `mean` are expected: a Poisson tail is a
/// regularized lower incomplete gamma function (Abramowitz and Stegun 1964, 26.4.21).
fn poisson_tail(count: u64, mean: f64) -> f64 {
    match count {
        0 => 1.0,
        _ if mean <= 0.0 => 0.0,
        _ => gamma_lr(count as f64, mean),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TRAVEL: DetectorId = DetectorId::ImpossibleTravel;

    fn opened(hour: i64, key: u32, tenant: &str, detectors: &[DetectorId]) -> OpenedIncident {
        OpenedIncident {
            key_id: format!("key-{key}"),
            tenant: tenant.to_owned(),
            detectors: detectors.to_vec(),
            opened: EventTime::from_seconds(hour * 3_600),
            is_acting: true,
        }
    }

    fn place(incidents: &[OpenedIncident]) -> Balance {
        let balances = balances(incidents, &DetectConfig::default());
        *balances.iter().find(|balance| balance.family == Family::Place).unwrap()
    }

    /// Different keys without a tenant, one in three hours.
    fn many(count: u32) -> Vec<OpenedIncident> {
        (0..count).map(|n| opened(3 * i64::from(n), n, "", &[TRAVEL])).collect()
    }

    #[test]
    fn far_more_incidents_than_promised_break_the_promise() {
        let quiet = place(&many(1));
        assert!(quiet.measured == 1 && !quiet.is_broken(false), "{quiet:?}");
        let loud = place(&many(20));
        assert!(loud.measured == 20 && loud.is_broken(false), "{loud:?}");
        assert_eq!(loud.latest, Some(EventTime::from_seconds(57 * 3_600)));
    }

    #[test]
    fn a_broken_promise_needs_clearly_fewer_incidents_to_hold_again() {
        let between = (1..20).map(|count| place(&many(count)));
        let mut between = between.filter(|b| b.is_broken(true) && !b.is_broken(false));
        assert!(between.next().is_some());
        assert!(!place(&[]).is_broken(true));
    }

    #[test]
    fn notices_and_a_few_thefts_restrain_nothing() {
        let mut notices = many(20);
        notices.iter_mut().for_each(|incident| incident.is_acting = false);
        assert!(place(&notices).is_broken(false) && !place(&notices).is_acting_too_often(false));
        assert!(place(&many(20)).is_acting_too_often(false));
        let strict =
            DetectConfig { expected_false_alerts_per_week: 1e-6, ..DetectConfig::default() };
        let under_strict = |thefts| {
            let balances = balances(&many(thefts), &strict).into_iter();
            balances.max_by_key(|balance| balance.measured).unwrap()
        };
        let few = under_strict(MIN_ACTING as u32 - 1);
        assert!(few.is_broken(false) && !few.is_acting_too_often(false), "{few:?}");
        assert!(!under_strict(MIN_INCIDENTS as u32 - 1).is_broken(false));
    }

    #[test]
    fn one_key_one_storm_and_one_tenant_count_once() {
        let one_key: Vec<_> = (0..20).map(|n| opened(n, 1, "", &[TRAVEL])).collect();
        let one_hour: Vec<_> = (0..20).map(|n| opened(5, n, "", &[TRAVEL])).collect();
        let one_tenant: Vec<_> =
            (0..20).map(|n| opened(i64::from(n), n, "acme", &[TRAVEL])).collect();
        for cause in [one_key, one_hour, one_tenant] {
            assert_eq!(place(&cause).measured, 1);
        }
    }

    #[test]
    fn incidents_with_support_and_facts_break_no_promise() {
        let both = [TRAVEL, DetectorId::DuplicateNonce];
        let supported: Vec<_> = (0..20).map(|n| opened(3 * i64::from(n), n, "", &both)).collect();
        assert_eq!(place(&supported).measured, 0);
        let facts = [DetectorId::RevokedKeyUse];
        let facts: Vec<_> = (0..20).map(|n| opened(3 * i64::from(n), n, "", &facts)).collect();
        assert!(balances(&facts, &DetectConfig::default()).iter().all(|one| one.measured == 0));
    }

    #[test]
    fn the_tail_is_that_of_a_poisson_distribution() {
        // By hand: 1 - e^-2 (1 + 2 + 2).
        assert!((poisson_tail(3, 2.0) - (1.0 - 5.0 * (-2.0f64).exp())).abs() < 1e-9);
        assert_eq!((poisson_tail(0, 2.0), poisson_tail(1, 0.0)), (1.0, 0.0));
    }
}
