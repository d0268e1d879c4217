//! Decides which families of detectors have broken their promise, and which alerts say so. Pure.
//!
//! The stored alerts hold the state: an open incident about a family says that its promise was
//! broken. All processes and every restart therefore come to the same result.

use std::collections::BTreeSet;

use serde_json::json;

use super::notice::{Finding, Notice, incident_id};
use crate::alert::{Action, Alert, AlertPosition, AlertType, DetectorId, Severity};
use crate::config::DetectConfig;
use crate::decide::promise::{Balance, DAYS, OpenedIncident, balances, family_of, is_restrained};
use crate::detect::Family;
use crate::event::EventTime;

/// The result of one look.
#[derive(Debug, Default)]
pub struct Promises {
    /// Families that may ask for no more than a notice until their promise holds again.
    pub restrained: BTreeSet<Family>,
    /// One for each family whose promise broke or holds again, or whose restraint changed.
    pub alerts: Vec<Alert>,
}

/// What a look compares with.
pub struct Rules<'a> {
    pub config: &'a DetectConfig,
    pub policy_version: &'a str,
    /// Whether a family that acts too often is restrained.
    pub restrains: bool,
}

/// Compares the incidents of the last week with the promise. `open` are the open incidents about
/// broken promises.
pub fn look(
    incidents: &[OpenedIncident],
    open: &[Alert],
    rules: &Rules<'_>,
    now: EventTime,
) -> Promises {
    let mut promises = Promises::default();
    for balance in balances(incidents, rules.config) {
        let stored = open.iter().find(|alert| family_of(alert) == Some(balance.family));
        let was_restrained = stored.is_some_and(is_restrained);
        let is_broken = balance.is_broken(stored.is_some());
        let restrains = is_broken && rules.restrains && balance.is_acting_too_often(was_restrained);
        if restrains {
            promises.restrained.insert(balance.family);
        }
        let report = Report { balance: &balance, is_restrained: restrains, now };
        promises.alerts.extend(match stored {
            None => is_broken.then(|| report.opened(rules.policy_version)),
            Some(alert) if !is_broken => Some(report.resolved(alert)),
            Some(alert) => (restrains != was_restrained).then(|| report.updated(alert)),
        });
    }
    promises
}

/// A change to be told about one family.
struct Report<'a> {
    balance: &'a Balance,
    is_restrained: bool,
    now: EventTime,
}

impl Report<'_> {
    fn opened(&self, policy_version: &str) -> Alert {
        let finding = self.finding();
        let id = incident_id(&format!("promise {}", self.balance.family.as_str()), &finding);
        self.notice(&finding, policy_version).alert(&id, 1, AlertType::Opened, &finding, self.now)
    }

    /// The restraint begins or ends while the promise is still broken.
    fn updated(&self, open: &Alert) -> Alert {
        let finding = self.finding();
        let notice = self.notice(&finding, &open.policy_version);
        let revision = open.revision + 1;
        notice.alert(&open.id, revision, AlertType::Updated, &finding, self.now)
    }

    fn resolved(&self, open: &Alert) -> Alert {
        let Balance { measured, promised, .. } = self.balance;
        let end =
            if is_restrained(open) { ", and the family is not restrained any more" } else { "" };
        Alert {
            revision: open.revision + 1,
            alert_type: AlertType::Resolved,
            risk: 0.0,
            action: Action::Observe,
            explanation: format!(
                "{measured} incidents in the last {DAYS} days, where {promised:.1} false ones are \
                 promised: the promise holds again{end}."
            ),
            detected_at: self.now,
            ..open.clone()
        }
    }

    fn notice<'b>(&self, finding: &Finding, policy_version: &'b str) -> Notice<'b> {
        let effect = if self.is_restrained {
            "Evidence of this family alone now asks for no more than `notify`, and it supports no \
             other evidence, until the promise holds again. If these are attacks, act on them by \
             hand, and set `monitor.on_broken_promise` to \"notify\"."
        } else {
            "The family is not restrained. If these incidents are false, raise the bar by lowering \
             `detect.expected_false_alerts_per_week`."
        };
        Notice {
            detector: DetectorId::PromiseBroken,
            severity: Severity::Medium,
            title: format!("Keywatch alerts too often: {}", finding.headline),
            explanation: format!("{} {effect}", finding.sentence),
            policy_version,
        }
    }

    fn finding(&self) -> Finding {
        let Balance { family, promised, measured, acting, latest } = *self.balance;
        let family = family.as_str();
        let fields = [
            ("family", json!(family)),
            ("promised", json!(promised)),
            ("measured", json!(measured)),
            ("acting", json!(acting)),
            ("is_restrained", json!(self.is_restrained)),
        ];
        let (topic, partition) = (String::new().into(), 0);
        Finding {
            since: latest.unwrap_or(self.now),
            position: AlertPosition { topic, partition, first_offset: 0, last_offset: 0 },
            headline: format!("{measured} incidents of the family `{family}` in {DAYS} days"),
            sentence: format!(
                "In the last {DAYS} days {measured} incidents were opened on evidence of the \
                 family `{family}` alone, where the configuration promises {promised:.1} false \
                 ones. {acting} of them asked for more than a notice. A key counts once, a tenant \
                 once a day, and the family once an hour."
            ),
            observed: measured as f64,
            expected: promised,
            p_value: self.balance.p_value(),
            fields: fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(hour: i64) -> EventTime {
        EventTime::from_seconds(1_700_000_000 + hour * 3_600)
    }

    /// One incident every four hours, each about another key.
    fn incidents(count: i64) -> Vec<OpenedIncident> {
        let incident = |n| OpenedIncident {
            key_id: format!("key-{n}"),
            tenant: String::new(),
            detectors: vec![DetectorId::DuplicateNonce],
            opened: at(4 * n),
            is_acting: n % 2 == 0,
        };
        (0..count).map(incident).collect()
    }

    fn looked(count: i64, open: &[Alert], hour: i64) -> Promises {
        looked_with(true, count, open, hour)
    }

    fn looked_with(restrains: bool, count: i64, open: &[Alert], hour: i64) -> Promises {
        let config = DetectConfig::default();
        let rules = Rules { config: &config, policy_version: "v1", restrains };
        look(&incidents(count), open, &rules, at(hour))
    }

    #[test]
    fn a_promise_breaks_once_and_holds_again_once() {
        let first = looked(30, &[], 130);
        assert_eq!(first.restrained, BTreeSet::from([Family::Replay]));
        let opened = &first.alerts[0];
        assert_eq!((opened.alert_type, opened.revision), (AlertType::Opened, 1));
        assert_eq!(opened.detectors, [DetectorId::PromiseBroken]);
        assert_eq!(opened.evidence[0].fields["family"], "replay");
        assert_eq!(opened.evidence[0].fields["measured"], 30);

        let later = looked(30, &first.alerts, 131);
        assert_eq!((later.restrained, later.alerts.len()), (first.restrained, 0));

        let last = looked(0, &first.alerts, 400);
        assert!(last.restrained.is_empty());
        assert_eq!((last.alerts[0].alert_type, last.alerts[0].revision), (AlertType::Resolved, 2));
        assert_eq!(last.alerts[0].id, opened.id);
    }

    #[test]
    fn the_alert_says_whether_the_family_is_restrained() {
        let told = looked_with(false, 30, &[], 130);
        assert!(told.restrained.is_empty());
        assert!(told.alerts[0].explanation.contains("is not restrained"), "{told:?}");
        let restrained = looked(30, &told.alerts, 131);
        let updated = &restrained.alerts[0];
        assert_eq!((updated.alert_type, updated.revision), (AlertType::Updated, 2));
        assert!(updated.explanation.contains("no more than `notify`"), "{updated:?}");
    }

    #[test]
    fn processes_that_look_at_different_times_use_the_same_id() {
        let id = |hour| looked(30, &[], hour).alerts.remove(0).id;
        assert_eq!(id(130), id(131));
    }
}
