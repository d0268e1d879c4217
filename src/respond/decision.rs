//! Decides which proposal is requested next, and what the others wait for.

use crate::alert::{Action, Alert, AlertType, Handling, Restraint};
use crate::config::{PolicyConfig, Rule};
use crate::decide::Exemptions;
use crate::event::{EventTime, HOUR_SECONDS};

use super::breaker::{Breaker, kind_of, open_breakers};
use super::budget::{Budget, Share, Spent, Warrant};

/// An incident of at least this confidence may take from the kept part of the budget of
/// revocations, ...
const CERTAIN_TO_REVOKE: f64 = 0.98;
/// ... and of suspensions. Evidence that is more certain than 0.94 asks for a revocation.
const CERTAIN_TO_SUSPEND: f64 = 0.9;

/// The part of the policy that governs requests.
#[derive(Debug)]
pub struct Rules {
    config: PolicyConfig,
    exemptions: Exemptions,
}

/// Facts about a key, from its accepted requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyFacts {
    /// Accepted requests within the last day.
    pub requests: u64,
    /// Environment of the last one.
    pub environment: String,
}

/// Whether a person must approve a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    NotNeeded,
    Pending,
    Given,
}

/// A proposal whose request is to be made now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grant<'a> {
    pub proposal: &'a Alert,
    pub share: Share,
}

/// The decision about a set of proposals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision<'a> {
    pub grant: Option<Grant<'a>>,
    /// The other proposals, and what they wait for.
    pub waiting: Vec<(&'a Alert, Restraint)>,
}

impl Rules {
    pub fn new(config: &PolicyConfig) -> Self {
        Self { exemptions: Exemptions::new(config), config: config.clone() }
    }

    /// Whether the policy forbids all requests.
    pub fn is_dry_run(&self) -> bool {
        self.config.dry_run
    }

    /// The name of the policy.
    pub fn version(&self) -> &str {
        &self.config.version
    }

    /// The budget after these requests.
    pub fn budget(&self, spent: Vec<Spent>) -> Budget {
        Budget::new(&self.config, spent)
    }

    /// The breakers that are open after these requests.
    pub fn breakers(&self, budget: &Budget, keys: Option<u64>, now: EventTime) -> Vec<Breaker> {
        open_breakers(&self.config, budget, keys, now)
    }

    /// Whether this revision may lead to a request. Both the current policy and the policy of
    /// the time when the alert was made must allow it.
    pub fn allow(&self, alert: &Alert) -> bool {
        let Some(key_id) = alert.key_id.as_deref() else { return false };
        let is_news = matches!(alert.alert_type, AlertType::Opened | AlertType::Updated);
        is_news
            && alert.action.request().is_some()
            && !alert.dry_run
            && !self.config.dry_run
            && !self.exemptions.cover(Some(key_id), alert.tenant.as_deref())
    }

    /// Whether any key needs an approval for its traffic or its environment.
    pub fn asks_for_facts(&self) -> bool {
        let approval = &self.config.approval;
        approval.above_requests_per_day > 0 || !approval.environments.is_empty()
    }

    /// Whether the loss of this key would hurt so much that a person must approve it.
    pub fn needs_approval(&self, alert: &Alert, facts: &KeyFacts) -> bool {
        let approval = &self.config.approval;
        let most = approval.above_requests_per_day;
        (most > 0 && facts.requests > most)
            || approval.environments.contains(&facts.environment)
            || alert.tenant.as_ref().is_some_and(|tenant| approval.tenants.contains(tenant))
            || self.rule(alert).is_some_and(|rule| rule.approval)
    }

    /// The rule of the policy that applies to the alert, as it is now.
    fn rule(&self, alert: &Alert) -> Option<&Rule> {
        self.config.rules.named(alert.guidance.rule.as_deref()?)
    }

    /// Builds the request for a granted proposal: the same alert under the next revision number,
    /// which the core left free, with the terms of the request.
    pub fn request(&self, proposal: &Alert, now: EventTime) -> Alert {
        let minutes = self.config.request_deadline_minutes;
        let hours = self.config.suspend_hours;
        let is_suspension = proposal.action == Action::Suspend;
        Alert {
            revision: proposal.revision + 1,
            alert_type: proposal.action.request().unwrap_or(proposal.alert_type),
            restraint: None,
            detected_at: proposal.detected_at.max(now),
            handling: Handling {
                deadline: Some(now.plus_seconds(60.0 * minutes)),
                suspend_until: is_suspension.then(|| now.plus_seconds(HOUR_SECONDS * hours)),
                ..proposal.handling.clone()
            },
            ..proposal.clone()
        }
    }
}

/// Decides about `proposals`: the latest revision of each open incident without a request. A tenant
/// for which less was requested in the last hour has precedence, so that nobody can fill the queue
/// for others; then the incident that began first; at equal times, the one with the smaller id.
pub fn decide<'a>(
    proposals: impl IntoIterator<Item = &'a Alert>,
    rules: &Rules,
    budget: &Budget,
    breakers: &[Breaker],
    approval: impl Fn(&Alert) -> Approval,
    now: EventTime,
) -> Decision<'a> {
    let taken = |alert: &Alert| budget.taken_by(alert.tenant.as_deref(), now);
    let allowed = proposals.into_iter().filter(|alert| rules.allow(alert));
    let mut queue: Vec<_> = allowed.map(|alert| (taken(alert), alert)).collect();
    queue.sort_by(|(a_taken, a), (b_taken, b)| {
        (a_taken, a.first_event_time, &a.id).cmp(&(b_taken, b.first_event_time, &b.id))
    });
    let mut decision = Decision::default();
    for (_, proposal) in queue {
        let share = match approval(proposal) {
            Approval::Pending => Err(Restraint::ApprovalPending),
            approval => {
                let is_open = breakers.iter().any(|breaker| breaker.holds(proposal));
                let warrant = warrant(proposal, approval);
                budget.share(proposal.action, proposal.tenant.as_deref(), warrant, is_open, now)
            }
        };
        match share {
            Ok(share) if decision.grant.is_none() => {
                decision.grant = Some(Grant { proposal, share });
            }
            // Looked at again after the grant is spent.
            Ok(_) => {}
            Err(restraint) => decision.waiting.push((proposal, restraint)),
        }
    }
    decision
}

fn warrant(proposal: &Alert, approval: Approval) -> Warrant {
    let certain = match proposal.action {
        Action::Revoke => CERTAIN_TO_REVOKE,
        _ => CERTAIN_TO_SUSPEND,
    };
    match approval {
        Approval::Given => Warrant::Approved,
        _ if proposal.confidence >= certain => Warrant::Certain,
        _ => Warrant::Ordinary,
    }
}

/// Builds the notice that a proposal waits: the same alert under the next revision number.
pub fn notice(proposal: &Alert, restraint: Restraint, now: EventTime) -> Alert {
    Alert {
        revision: proposal.revision + 1,
        alert_type: AlertType::Updated,
        restraint: Some(restraint),
        detected_at: proposal.detected_at.max(now),
        ..proposal.clone()
    }
}

/// The request for `proposal` as the budget counts it.
pub fn spent(grant: &Grant<'_>, now: EventTime) -> Spent {
    let alert = grant.proposal;
    Spent {
        time: now,
        action: alert.action,
        key_id: alert.key_id.clone().unwrap_or_default(),
        tenant: alert.tenant.clone(),
        family: kind_of(alert),
        is_kept: grant.share == Share::Kept,
    }
}

#[cfg(test)]
pub mod tests;
