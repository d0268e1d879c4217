//! Chooses the action with the least expected cost, within the policy's bounds.

use std::collections::BTreeSet;

use crate::alert::{Action, Ceiling, DetectorId, Evidence, Restraint, Severity};
use crate::config::PolicyConfig;
use crate::detect::Family;
use crate::event::KeyId;

use super::corroboration::sole_ceiling;
use super::incident::Incident;
use super::risk;
use super::subject::Subject;
use super::support::supported;

/// Risk, confidence and the resulting action.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    pub risk: f64,
    pub confidence: f64,
    pub severity: Severity,
    pub action: Action,
    /// The reason why the action is milder than the evidence asks, if it is.
    pub restraint: Option<Restraint>,
}

/// For each action: its cost if the key is honest, and the remaining cost of theft after it. Units
/// are arbitrary, since only ratios count. A customer whose key is broken costs half as much as an
/// emptied account.
const COSTS: [(Action, f64, f64); 5] = [
    (Action::Observe, 0.0, 10_000.0),
    (Action::Notify, 5.0, 3_000.0),
    (Action::Throttle, 300.0, 2_000.0),
    (Action::Suspend, 2_000.0, 300.0),
    (Action::Revoke, 5_000.0, 100.0),
];

const ACTIONS: [Action; 5] =
    [Action::Observe, Action::Notify, Action::Throttle, Action::Suspend, Action::Revoke];

#[derive(Debug)]
pub struct Policy {
    config: PolicyConfig,
    exemptions: Exemptions,
    /// Families that broke their promise of false alerts and are restrained for it.
    restrained: BTreeSet<Family>,
}

/// Keys and tenants for which no action beyond `notify` is taken.
#[derive(Debug)]
pub struct Exemptions {
    keys: BTreeSet<String>,
    tenants: BTreeSet<String>,
}

impl Exemptions {
    pub fn new(config: &PolicyConfig) -> Self {
        Self {
            keys: config.exempt_keys.iter().cloned().collect(),
            tenants: config.exempt_tenants.iter().cloned().collect(),
        }
    }

    /// Whether the key or its tenant is exempt.
    pub fn cover(&self, key_id: Option<&str>, tenant: Option<&str>) -> bool {
        key_id.is_some_and(|key_id| self.keys.contains(key_id))
            || tenant.is_some_and(|tenant| self.tenants.contains(tenant))
    }
}

impl Policy {
    pub fn new(config: &PolicyConfig) -> Self {
        Self {
            exemptions: Exemptions::new(config),
            config: config.clone(),
            restrained: BTreeSet::new(),
        }
    }

    pub fn version(&self) -> &str {
        &self.config.version
    }

    pub fn is_dry_run(&self) -> bool {
        self.config.dry_run
    }

    /// Lets these families do no more than notify where no other family supports them.
    pub fn restrain(&mut self, families: BTreeSet<Family>) {
        self.restrained = families;
    }

    pub fn quiet_close_seconds(&self) -> f64 {
        self.config.quiet_close_seconds
    }

    /// Judges the evidence of an incident: risk, confidence, severity and action.
    pub fn judge(&self, incident: &Incident) -> Verdict {
        let evidence = supported(incident.evidence(), &self.restrained);
        let evidence = evidence.as_ref();
        let sole = sole_ceiling(evidence, &self.restrained);
        let most = sole.map_or(Action::Revoke, |ceiling| ceiling.most);
        let confidence =
            bounded(evidence, risk::confidence, most_confidence).min(most_confidence(most));
        let risk = bounded(evidence, risk::risk, most_risk).min(most_risk(most));
        let cheapest = cheapest_action(confidence).min(most_severe(incident.subject()));
        let severity = risk::severity(risk).max(least_severity(cheapest));
        let severity = severity.max(least_severity_of(evidence));
        let key_id = incident.subject().key_id();
        let exempt = self.exemptions.cover(key_id.map(KeyId::as_str), incident.tenant());
        let (action, restraint) = if exempt && cheapest > Action::Notify {
            (Action::Notify, Some(Restraint::Exempt))
        } else {
            (cheapest, restraint(evidence, sole, cheapest))
        };
        Verdict { risk, confidence, severity, action, restraint }
    }

    /// Whether an alert with this verdict proposes a suspension or a revocation. `respond` may
    /// request it under one of the next revision numbers.
    pub fn proposes_request(&self, verdict: &Verdict) -> bool {
        !self.config.dry_run && verdict.action.request().is_some()
    }
}

/// A measure of the evidence that respects each item's ceiling. Items with a ceiling raise the
/// measure only up to the most that asks for no more than their ceiling's action.
fn bounded(evidence: &[Evidence], measure: fn(&[Evidence]) -> f64, most: fn(Action) -> f64) -> f64 {
    if evidence.iter().all(|item| item.ceiling.is_none()) {
        return measure(evidence);
    }
    let at_least = |action: Action| {
        let may = |item: &&Evidence| item.ceiling.is_none_or(|ceiling| ceiling.most >= action);
        let items: Vec<Evidence> = evidence.iter().filter(may).cloned().collect();
        measure(&items).min(most(action))
    };
    ACTIONS.into_iter().map(at_least).fold(0.0, f64::max)
}

/// The highest confidence that asks for no more than `action`.
fn most_confidence(action: Action) -> f64 {
    let stricter = COSTS.iter().zip(&COSTS[1..]).find(|((this, ..), _)| *this == action);
    stricter.map_or(1.0, |((_, harm, loss), (_, more_harm, less_loss))| {
        let (harm, loss) = (more_harm - harm, loss - less_loss);
        // Just below the confidence at which both actions cost the same.
        0.999 * harm / (harm + loss)
    })
}

/// The highest risk of evidence that may lead to no more than `action`. Evidence that nobody may
/// act on is reported, but must not wake anybody.
const fn most_risk(action: Action) -> f64 {
    match action {
        Action::Observe => 24.0,
        Action::Notify => 49.0,
        Action::Throttle => 79.0,
        Action::Suspend | Action::Revoke => 100.0,
    }
}

/// The reason for the milder action: that of the sole kind's ceiling, else of the strongest item
/// with a ceiling. `None` if the evidence asks for no more without its ceilings.
fn restraint(evidence: &[Evidence], sole: Option<Ceiling>, action: Action) -> Option<Restraint> {
    let free: Vec<Evidence> =
        evidence.iter().map(|item| Evidence { ceiling: None, ..item.clone() }).collect();
    if cheapest_action(risk::confidence(&free)) <= action {
        return None;
    }
    let strongest = evidence.iter().find_map(|item| item.ceiling);
    sole.or(strongest).map(|ceiling| ceiling.reason)
}

/// Only keys can be suspended or revoked. A source can only be throttled.
const fn most_severe(subject: &Subject) -> Action {
    match subject {
        Subject::Key(_) => Action::Revoke,
        Subject::Source(_) => Action::Throttle,
    }
}

/// The lowest severity of an alert with this action: an action that stops a customer is never a
/// small matter.
fn least_severity(action: Action) -> Severity {
    match action {
        Action::Observe | Action::Notify => Severity::Low,
        Action::Throttle => Severity::Medium,
        Action::Suspend => Severity::High,
        Action::Revoke => Severity::Critical,
    }
}

/// Somebody found a trap, which nobody is told of. That is critical even if the request was refused,
/// and so the action may be no more than a notice: the severity says whom to wake, and the action
/// what is done to the key.
fn least_severity_of(evidence: &[Evidence]) -> Severity {
    let is_trap = evidence.iter().any(|item| item.detector == DetectorId::CanaryUse);
    if is_trap { Severity::Critical } else { Severity::Low }
}

/// The action with the least expected cost at this probability of theft.
fn cheapest_action(stolen: f64) -> Action {
    let cost = |(_, harm, loss): &(Action, f64, f64)| (1.0 - stolen) * harm + stolen * loss;
    COSTS
        .iter()
        .min_by(|a, b| cost(a).total_cmp(&cost(b)))
        .map_or(Action::Observe, |(action, _, _)| *action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn higher_confidence_asks_for_stronger_actions() {
        let ladder: Vec<Action> =
            [0.0, 0.02, 0.4, 0.8, 0.99].into_iter().map(cheapest_action).collect();
        assert_eq!(
            ladder,
            [Action::Observe, Action::Notify, Action::Throttle, Action::Suspend, Action::Revoke]
        );
        let mut last = Action::Observe;
        for percent in 0..=100 {
            let action = cheapest_action(f64::from(percent) / 100.0);
            assert!(action >= last, "{percent}%: {action} after {last}");
            last = action;
        }
    }
}
