//! Decides which proposal is requested next, and what the others wait for.

use crate::alert::{Action, Alert, AlertType, Handling, Restraint};
use crate::config::PolicyConfig;
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
pub(super) mod tests {
    pub use super::super::budget::tests::at;
    use super::super::budget::tests::spent as spent_for;
    use super::*;
    use crate::config::ApprovalConfig;
    use crate::deliver::fixtures;

    /// Proposes to revoke `key`, since evidence of this second.
    pub fn proposal(key: &str, second: i64) -> Alert {
        Alert {
            id: format!("inc_{key}"),
            revision: 1,
            alert_type: AlertType::Opened,
            key_id: Some(key.into()),
            tenant: Some(format!("tenant of {key}")),
            action: Action::Revoke,
            dry_run: false,
            first_event_time: at(second),
            last_event_time: at(second),
            detected_event_time: at(second),
            detected_at: at(second),
            ..fixtures::alert("revocation_requested")
        }
    }

    pub fn rules(max_revocations_per_hour: u32) -> Rules {
        let exempt = ["exempt".to_owned()];
        Rules::new(&PolicyConfig {
            dry_run: false,
            max_revocations_per_hour,
            exempt_keys: exempt.to_vec(),
            exempt_tenants: vec!["tenant of vip".to_owned()],
            ..PolicyConfig::default()
        })
    }

    fn revoked(second: i64) -> Spent {
        spent_for(second, Action::Revoke, "")
    }

    fn look<'a>(
        proposals: &'a [Alert],
        rules: &Rules,
        spent: Vec<Spent>,
        now: i64,
    ) -> Decision<'a> {
        let budget = rules.budget(spent);
        decide(proposals, rules, &budget, &[], |_| Approval::NotNeeded, at(now))
    }

    fn granted(proposals: &[Alert], spent: Vec<Spent>, now: i64) -> Option<&str> {
        let decision = look(proposals, &rules(1), spent, now);
        decision.grant.and_then(|grant| grant.proposal.key_id.as_deref())
    }

    #[test]
    fn the_incident_that_began_first_is_granted_whatever_the_order_of_the_rows() {
        let (a, b) = (proposal("b", 20), proposal("a", 30));
        assert_eq!(granted(&[a.clone(), b.clone()], Vec::new(), 40), Some("b"));
        assert_eq!(granted(&[b, a], Vec::new(), 40), Some("b"));
        let twins = [proposal("b", 20), proposal("a", 20)];
        assert_eq!(granted(&twins, Vec::new(), 40), Some("a"));
    }

    #[test]
    fn a_proposal_waits_for_the_budget_and_is_granted_when_there_is_some() {
        let proposals = [proposal("a", 20), proposal("b", 20)];
        let decision = look(&proposals, &rules(1), vec![revoked(10)], 40);
        assert_eq!((decision.grant, decision.waiting.len()), (None, 2));
        assert!(decision.waiting.iter().all(|(_, restraint)| *restraint == Restraint::Budget));
        assert_eq!(granted(&proposals, vec![revoked(10)], 3_610), Some("a"));
    }

    #[test]
    fn only_news_about_keys_that_are_not_exempt_is_granted_and_never_in_a_dry_run() {
        let is_granted = |alert: Alert| granted(&[alert], Vec::new(), 40).is_some();
        let good = || proposal("key", 20);
        assert!(is_granted(good()));
        assert!(is_granted(Alert { alert_type: AlertType::Updated, ..good() }));
        assert!(!is_granted(Alert { alert_type: AlertType::Resolved, ..good() }));
        assert!(is_granted(Alert { action: Action::Suspend, ..good() }));
        assert!(!is_granted(Alert { action: Action::Throttle, ..good() }));
        assert!(!is_granted(Alert { dry_run: true, ..good() }));
        assert!(!is_granted(Alert { key_id: None, ..good() }));
        assert!(!is_granted(proposal("exempt", 20)));
        assert!(!is_granted(proposal("vip", 20)));
        let dry = Rules::new(&PolicyConfig::default());
        assert!(!dry.allow(&good()));
    }

    #[test]
    fn a_request_is_the_proposal_under_the_number_after_it() {
        let proposal = proposal("key", 20);
        let waits = notice(&proposal, Restraint::Budget, at(50));
        assert_eq!((waits.revision, waits.restraint), (2, Some(Restraint::Budget)));
        let asked = rules(1).request(&waits, at(90));
        assert_eq!((asked.revision, asked.detected_at), (3, at(90)));
        assert_eq!((asked.alert_type, asked.restraint), (AlertType::RevocationRequested, None));
        assert_eq!(asked.handling.deadline, Some(at(3_690)));
        assert_eq!(asked.handling.suspend_until, None);
        assert_eq!((&asked.id, &asked.explanation), (&proposal.id, &proposal.explanation));
        let mild = rules(1).request(&Alert { action: Action::Suspend, ..proposal }, at(90));
        assert_eq!(mild.alert_type, AlertType::SuspensionRequested);
        assert_eq!(mild.handling.suspend_until, Some(at(90 + 86_400)));
    }

    /// Mallory has many keys, and her incidents began first.
    #[test]
    fn nobody_fills_the_queue_for_others() {
        let of = |tenant: &str, alert: Alert| Alert { tenant: Some(tenant.into()), ..alert };
        let mut proposals: Vec<Alert> =
            (0..500).map(|n| of("mallory", proposal(&format!("m{n}"), n))).collect();
        proposals.push(of("victim", proposal("stolen", 600)));
        let spent = vec![spent_for(500, Action::Revoke, "mallory")];
        let decision = look(&proposals, &rules(5), spent, 700);
        assert_eq!(decision.grant.and_then(|it| it.proposal.key_id.as_deref()), Some("stolen"));
    }

    #[test]
    fn a_proposal_that_needs_an_approval_waits_for_it_and_holds_up_no_other() {
        let proposals = [proposal("a", 10), proposal("b", 20)];
        let rules = rules(5);
        let budget = rules.budget(Vec::new());
        let approval = |given| {
            move |alert: &Alert| match alert.key_id.as_deref() {
                Some("a") => given,
                _ => Approval::NotNeeded,
            }
        };
        let decision =
            decide(&proposals, &rules, &budget, &[], approval(Approval::Pending), at(30));
        assert_eq!(decision.grant.map(|it| &it.proposal.id), Some(&proposals[1].id));
        assert_eq!(decision.waiting, [(&proposals[0], Restraint::ApprovalPending)]);
        let decision = decide(&proposals, &rules, &budget, &[], approval(Approval::Given), at(30));
        assert_eq!(decision.grant.map(|it| &it.proposal.id), Some(&proposals[0].id));
    }

    #[test]
    fn the_loss_of_a_busy_key_an_environment_or_a_tenant_needs_an_approval() {
        let config = PolicyConfig {
            approval: ApprovalConfig {
                above_requests_per_day: 1_000,
                tenants: vec!["tenant of bank".into()],
                environments: vec!["production".into()],
            },
            ..PolicyConfig::default()
        };
        let rules = Rules::new(&config);
        let facts = |requests, environment: &str| KeyFacts {
            requests,
            environment: environment.to_owned(),
        };
        let needs = |key, facts| rules.needs_approval(&proposal(key, 1), &facts);
        assert!(!needs("a", facts(1_000, "test")));
        assert!(needs("a", facts(1_001, "test")));
        assert!(needs("a", facts(1, "production")));
        assert!(needs("bank", facts(1, "test")));
    }
}
