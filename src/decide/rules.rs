//! Finds the rule of the policy that applies to an incident.

use crate::alert::{Alert, Ceiling, DetectorId, Evidence, KeyTraits, Severity};
use crate::config::{DetectorPattern, Match, Rule};

/// An incident, open or stored, as the policy judges it.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// `None` for an incident about a source.
    pub key_id: Option<&'a str>,
    pub tenant: Option<&'a str>,
    pub traits: &'a KeyTraits,
    pub evidence: &'a [Evidence],
}

/// The numbers that rules look at. They come from proven uses alone if there are any: whoever only
/// names a key must not choose the rule for its incident.
#[derive(Clone, Copy, Debug)]
pub struct Weight {
    pub severity: Severity,
    pub confidence: f64,
}

impl<'a> Case<'a> {
    /// The incident of a stored alert.
    pub fn of(alert: &'a Alert) -> Self {
        Self {
            key_id: alert.key_id.as_deref(),
            tenant: alert.tenant.as_deref(),
            traits: &alert.guidance.key,
            evidence: &alert.evidence,
        }
    }

    /// The evidence of proven uses, if there is any, else all of it.
    pub fn telling(&self) -> Vec<Evidence> {
        let is_proven = |item: &&Evidence| Ceiling::is_of_proven_use(item.ceiling);
        let proven: Vec<Evidence> = self.evidence.iter().filter(is_proven).cloned().collect();
        if proven.is_empty() { self.evidence.to_vec() } else { proven }
    }
}

/// The place of the first rule that matches.
pub fn find(
    rules: &[Rule],
    case: &Case<'_>,
    telling: &[Evidence],
    weight: Weight,
) -> Option<usize> {
    let detectors = || telling.iter().map(|item| item.detector);
    rules.iter().position(|rule| {
        let rule = &rule.matches;
        are_all_of(&rule.detectors, detectors()) && is_heavy(rule, weight) && concerns(rule, case)
    })
}

fn are_all_of(patterns: &[DetectorPattern], mut of: impl Iterator<Item = DetectorId>) -> bool {
    patterns.is_empty() || of.all(|it| patterns.iter().any(|pattern| pattern.matches(it)))
}

fn is_heavy(rule: &Match, weight: Weight) -> bool {
    rule.min_severity.is_none_or(|least| weight.severity >= least)
        && rule.min_confidence.is_none_or(|least| weight.confidence >= least)
}

fn concerns(rule: &Match, case: &Case<'_>) -> bool {
    let traits = case.traits;
    let is_listed = |list: &[String], value: Option<&str>| {
        list.is_empty() || value.is_some_and(|value| list.iter().any(|it| it == value))
    };
    let is_tagged = rule.tags.is_empty() || rule.tags.iter().any(|tag| traits.tags.contains(tag));
    is_listed(&rule.tenants, case.tenant)
        && is_listed(&rule.environments, Some(&traits.environment))
        && is_listed(&rule.classes, Some(&traits.class))
        && is_tagged
        && has_traffic(rule, case)
}

/// A rule about traffic is a rule about keys.
fn has_traffic(rule: &Match, case: &Case<'_>) -> bool {
    let (least, most) = (rule.min_requests_per_day, rule.max_requests_per_day);
    let requests = case.traits.requests_per_day;
    (least.is_none() && most.is_none())
        || case.key_id.is_some()
            && least.is_none_or(|least| requests >= least)
            && most.is_none_or(|most| requests <= most)
}
