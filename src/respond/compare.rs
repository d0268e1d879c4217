//! Compares two policies on alerts that were made: each judges their evidence again.
//!
//! It knows neither approvals that were given nor families that broke their promise then.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use super::decision::Rules;
use super::replay::replay;
use crate::alert::{Action, Alert, AlertType, Guidance, Restraint, Severity};
use crate::config::PolicyConfig;
use crate::decide::{Case, Policy};
use crate::event::KeyId;

/// What one policy makes of one incident, at its strongest revision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    pub action: Action,
    pub severity: Severity,
    pub restraint: Option<Restraint>,
    pub rule: Option<String>,
    /// Empty for all.
    pub channels: Vec<String>,
    /// Whether the rule asks for an approval. Approvals for traffic and environment are not looked
    /// up.
    pub approval: bool,
}

/// An incident that the two policies treat differently.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    pub id: String,
    pub key_id: Option<KeyId>,
    pub tenant: Option<String>,
    pub title: String,
    pub outcomes: [Outcome; 2],
}

/// What one policy makes of all incidents.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Incidents by action.
    pub actions: BTreeMap<&'static str, usize>,
    /// Incidents by rule; the empty name is for those without one.
    pub rules: BTreeMap<String, usize>,
    /// Requests within the budgets.
    pub revocations: usize,
    pub suspensions: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    pub incidents: usize,
    pub policies: [Totals; 2],
    /// Where the action changes most comes first.
    pub changed: Vec<Change>,
}

/// Judges `alerts`, in any order, under both policies as if neither were a dry run.
pub fn compare(alerts: &[Alert], policies: [&PolicyConfig; 2]) -> Comparison {
    let evidence: Vec<&Alert> = alerts.iter().filter(|alert| brings_evidence(alert)).collect();
    let judged = policies.map(|config| Judged::new(&evidence, config));
    let [before, after] = &judged;
    let pairs =
        before.incidents.iter().filter_map(|(id, old)| Some((old, after.incidents.get(id)?)));
    let mut changed: Vec<Change> = pairs.filter_map(|(old, new)| change(old, new)).collect();
    changed.sort_by_key(|it| {
        let [old, new] = it.outcomes.each_ref().map(|outcome| outcome.action as i32);
        (Reverse((old - new).abs()), it.id.clone())
    });
    let incidents = before.incidents.len();
    Comparison { incidents, policies: judged.map(|judged| judged.totals()), changed }
}

/// Requests and notices of waiting follow from a policy and bring no evidence.
fn brings_evidence(alert: &Alert) -> bool {
    let is_about_keys = alert.detectors.iter().any(|detector| !detector.is_of_monitor());
    is_about_keys
        && !alert.alert_type.is_request()
        && !alert.restraint.is_some_and(Restraint::is_wait)
}

struct Judged<'a> {
    /// The strongest revision of each incident, as the policy judges it.
    incidents: BTreeMap<&'a str, (Alert, Outcome)>,
    revocations: usize,
    suspensions: usize,
}

impl<'a> Judged<'a> {
    fn new(alerts: &[&'a Alert], config: &PolicyConfig) -> Self {
        let config = PolicyConfig { dry_run: false, ..config.clone() };
        let policy = Policy::new(&config);
        let mut incidents: BTreeMap<&str, (Alert, Outcome)> = BTreeMap::new();
        let mut all = Vec::with_capacity(alerts.len());
        for alert in alerts {
            let (judged, outcome) = judge(alert, &policy);
            all.push(judged.clone());
            let known = incidents.get(alert.id.as_str());
            if known.is_none_or(|(_, known)| outcome.action >= known.action) {
                incidents.insert(&alert.id, (judged, outcome));
            }
        }
        let granted = replay(&all, &Rules::new(&config), config.quiet_close_seconds);
        let count = |kind| granted.iter().filter(|it| it.alert.alert_type == kind).count();
        Self {
            incidents,
            revocations: count(AlertType::RevocationRequested),
            suspensions: count(AlertType::SuspensionRequested),
        }
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals {
            revocations: self.revocations,
            suspensions: self.suspensions,
            ..Totals::default()
        };
        for (_, outcome) in self.incidents.values() {
            *totals.actions.entry(outcome.action.as_str()).or_default() += 1;
            *totals.rules.entry(outcome.rule.clone().unwrap_or_default()).or_default() += 1;
        }
        totals
    }
}

/// The alert as the policy would have made it, without its words.
fn judge(alert: &Alert, policy: &Policy) -> (Alert, Outcome) {
    let verdict = policy.judge(&Case::of(alert));
    let rule = verdict.rule.map(|place| policy.rule(place));
    let name = rule.map(|rule| rule.name.clone());
    let outcome = Outcome {
        action: verdict.action,
        severity: verdict.severity,
        restraint: verdict.restraint,
        rule: name.clone(),
        channels: rule.map(|rule| rule.channels.clone()).unwrap_or_default(),
        approval: rule.is_some_and(|rule| rule.approval),
    };
    let judged = Alert {
        action: verdict.action,
        severity: verdict.severity,
        restraint: verdict.restraint,
        risk: verdict.risk,
        confidence: verdict.confidence,
        dry_run: false,
        guidance: Guidance { rule: name, ..alert.guidance.clone() },
        ..alert.clone()
    };
    (judged, outcome)
}

fn change((alert, old): &(Alert, Outcome), (_, new): &(Alert, Outcome)) -> Option<Change> {
    let is_same = old.action == new.action
        && old.severity == new.severity
        && old.channels == new.channels
        && old.approval == new.approval;
    (!is_same).then(|| Change {
        id: alert.id.clone(),
        key_id: alert.key_id.clone(),
        tenant: alert.tenant.clone(),
        title: alert.title.clone(),
        outcomes: [old.clone(), new.clone()],
    })
}

#[cfg(test)]
mod tests;
