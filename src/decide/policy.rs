//! Chooses the action with the least expected cost, within the policy's bounds.

use std::collections::BTreeSet;

use crate::alert::{Action, Ceiling, DetectorId, Evidence, Restraint, Severity};
use crate::config::{PolicyConfig, Rule};
use crate::detect::Family;

use super::corroboration::ceiling_of_kinds;
use super::ladder::Ladder;
use super::risk;
use super::rules::{self, Case};
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
    /// The place of the policy's rule that applies.
    pub rule: Option<usize>,
}

const ACTIONS: [Action; 5] =
    [Action::Observe, Action::Notify, Action::Throttle, Action::Suspend, Action::Revoke];

#[derive(Debug)]
pub struct Policy {
    config: PolicyConfig,
    exemptions: Exemptions,
    ladder: Ladder,
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
        let rules = &config.rules.exempt;
        Self {
            keys: config.exempt_keys.iter().chain(&rules.keys).cloned().collect(),
            tenants: config.exempt_tenants.iter().chain(&rules.tenants).cloned().collect(),
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
            ladder: Ladder::new(config.rules.costs),
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
    pub fn judge(&self, case: &Case<'_>) -> Verdict {
        let weighed = self.weigh(case.evidence, case.key_id.is_some());
        let rule = self.rule_for(case);
        let (action, restraint) = self.bound(&weighed, case, rule.map(|place| self.rule(place)));
        let Weighed { risk, confidence, severity, .. } = weighed;
        Verdict { risk, confidence, severity, action, restraint, rule }
    }

    /// The rule at a place that a verdict names.
    pub fn rule(&self, place: usize) -> &Rule {
        &self.config.rules.rules[place]
    }

    fn rule_for(&self, case: &Case<'_>) -> Option<usize> {
        let rules = &self.config.rules.rules;
        if rules.is_empty() {
            return None;
        }
        let telling = case.telling();
        let Weighed { severity, confidence, .. } = self.weigh(&telling, case.key_id.is_some());
        rules::find(rules, case, &telling, rules::Weight { severity, confidence })
    }

    /// Weighs the evidence, whatever the rules and exemptions are.
    fn weigh(&self, evidence: &[Evidence], is_key: bool) -> Weighed {
        let evidence = supported(evidence, &self.restrained);
        let evidence = evidence.as_ref();
        let kinds = ceiling_of_kinds(evidence, &self.restrained, self.config.most_without_proof);
        let most = kinds.map_or(Action::Revoke, |ceiling| ceiling.most);
        let most_confidence = |action| self.ladder.most(action);
        let confidence =
            bounded(evidence, risk::confidence, most_confidence).min(most_confidence(most));
        let risk = bounded(evidence, risk::risk, most_risk).min(most_risk(most));
        let action = self.ladder.cheapest(confidence).min(most_severe(is_key));
        let severity = risk::severity(risk).max(least_severity(action));
        let severity = severity.max(least_severity_of(evidence));
        let restraint = self.restraint(evidence, kinds, action);
        Weighed { risk, confidence, severity, action, restraint }
    }

    /// The action within exemptions, which always win, and the rule.
    fn bound(
        &self,
        weighed: &Weighed,
        case: &Case<'_>,
        rule: Option<&Rule>,
    ) -> (Action, Option<Restraint>) {
        let is_exempt = self.exemptions.cover(case.key_id, case.tenant);
        let exempt = is_exempt.then_some((Action::Notify, Restraint::Exempt));
        let rule = rule.and_then(|rule| Some((rule.action?, Restraint::Rule)));
        let strictest = exempt.into_iter().chain(rule).min_by_key(|(most, _)| *most);
        match strictest {
            Some((most, reason)) if most < weighed.action => (most, Some(reason)),
            _ => (weighed.action, weighed.restraint),
        }
    }

    /// The reason for the milder action: that of the ceiling of the evidence's kinds, else of the strongest item
    /// with a ceiling. `None` if the evidence asks for no more without its ceilings.
    fn restraint(
        &self,
        evidence: &[Evidence],
        kinds: Option<Ceiling>,
        action: Action,
    ) -> Option<Restraint> {
        let free: Vec<Evidence> =
            evidence.iter().map(|item| Evidence { ceiling: None, ..item.clone() }).collect();
        if self.ladder.cheapest(risk::confidence(&free)) <= action {
            return None;
        }
        let strongest = evidence.iter().find_map(|item| item.ceiling);
        kinds.or(strongest).map(|ceiling| ceiling.reason)
    }

    /// Whether an alert with this verdict proposes a suspension or a revocation. `respond` may
    /// request it under one of the next revision numbers.
    pub fn proposes_request(&self, verdict: &Verdict) -> bool {
        !self.config.dry_run && verdict.action.request().is_some()
    }
}

/// Evidence with its numbers, and the action that it asks for.
struct Weighed {
    risk: f64,
    confidence: f64,
    severity: Severity,
    action: Action,
    restraint: Option<Restraint>,
}

/// A measure of the evidence that respects each item's ceiling. Items with a ceiling raise the
/// measure only up to the most that asks for no more than their ceiling's action.
fn bounded(
    evidence: &[Evidence],
    measure: fn(&[Evidence]) -> f64,
    most: impl Fn(Action) -> f64,
) -> f64 {
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

/// Only keys can be suspended or revoked. A source can only be throttled.
const fn most_severe(is_key: bool) -> Action {
    if is_key { Action::Revoke } else { Action::Throttle }
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
