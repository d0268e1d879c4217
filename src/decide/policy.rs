//! What to do: the action with the least expected cost, within the policy's bounds.

use std::collections::{BTreeSet, VecDeque};

use crate::alert::{Action, Severity};
use crate::config::PolicyConfig;
use crate::event::EventTime;

use super::incident::Incident;
use super::risk;
use super::subject::Subject;

/// Risk, confidence and the action that follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    pub risk: f64,
    pub confidence: f64,
    pub severity: Severity,
    pub action: Action,
    /// Why the action is milder than the evidence asks, if it is.
    pub restraint: Option<&'static str>,
}

/// What each action costs when the key is honest, and what theft still costs after it.
/// Units are arbitrary: only ratios count. A broken customer is put at half of an
/// emptied account.
const COSTS: [(Action, f64, f64); 5] = [
    (Action::Observe, 0.0, 10_000.0),
    (Action::Notify, 5.0, 3_000.0),
    (Action::Throttle, 300.0, 2_000.0),
    (Action::Suspend, 2_000.0, 300.0),
    (Action::Revoke, 5_000.0, 100.0),
];

const HOUR_SECONDS: f64 = 3_600.0;

#[derive(Debug)]
pub struct Policy {
    config: PolicyConfig,
    exempt_keys: BTreeSet<String>,
    exempt_tenants: BTreeSet<String>,
    /// Event times of the revocations requested in the last hour.
    revocations: VecDeque<EventTime>,
}

impl Policy {
    pub fn new(config: &PolicyConfig) -> Self {
        Self {
            exempt_keys: config.exempt_keys.iter().cloned().collect(),
            exempt_tenants: config.exempt_tenants.iter().cloned().collect(),
            revocations: VecDeque::new(),
            config: config.clone(),
        }
    }

    pub fn version(&self) -> &str {
        &self.config.version
    }

    pub fn is_dry_run(&self) -> bool {
        self.config.dry_run
    }

    pub fn quiet_close_seconds(&self) -> f64 {
        self.config.quiet_close_seconds
    }

    pub fn judge(&self, incident: &Incident) -> Verdict {
        let evidence = incident.evidence();
        let (risk, confidence) = (risk::risk(evidence), risk::confidence(evidence));
        let cheapest = cheapest_action(confidence).min(most_severe(incident.subject()));
        let severity = risk::severity(risk).max(least_severity(cheapest));
        let exempt = self.is_exempt(incident);
        let (action, restraint) = if exempt && cheapest > Action::Notify {
            (Action::Notify, Some("the key or its tenant is exempt by policy"))
        } else {
            (cheapest, None)
        };
        Verdict { risk, confidence, severity, action, restraint }
    }

    /// Whether to ask for the revocation now. Spends the budget when it says yes.
    pub fn requests_revocation(
        &mut self,
        incident: &Incident,
        verdict: &Verdict,
        time: EventTime,
    ) -> bool {
        if self.config.dry_run
            || verdict.action != Action::Revoke
            || incident.is_revocation_requested()
        {
            return false;
        }
        while self.revocations.front().is_some_and(|t| time.seconds_since(*t) > HOUR_SECONDS) {
            self.revocations.pop_front();
        }
        if self.revocations.len() >= self.config.max_revocations_per_hour as usize {
            return false;
        }
        self.revocations.push_back(time);
        true
    }

    fn is_exempt(&self, incident: &Incident) -> bool {
        let key_id = incident.subject().key_id();
        key_id.is_some_and(|key_id| self.exempt_keys.contains(key_id.as_str()))
            || incident.tenant().is_some_and(|tenant| self.exempt_tenants.contains(tenant))
    }
}

/// Only keys can be suspended or revoked; a source can be slowed down, the monitor be seen to.
const fn most_severe(subject: &Subject) -> Action {
    match subject {
        Subject::Key(_) => Action::Revoke,
        Subject::Source(_) => Action::Throttle,
        Subject::Monitor => Action::Notify,
    }
}

/// What stops a customer is never a small matter.
fn least_severity(action: Action) -> Severity {
    match action {
        Action::Observe | Action::Notify => Severity::Low,
        Action::Throttle => Severity::Medium,
        Action::Suspend => Severity::High,
        Action::Revoke => Severity::Critical,
    }
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
    fn the_ladder_is_climbed_with_confidence() {
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
