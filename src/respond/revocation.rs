//! Decides which proposal is granted next.

use crate::alert::{Action, Alert, AlertType};
use crate::config::PolicyConfig;
use crate::decide::Exemptions;
use crate::event::EventTime;

use super::budget::Budget;

/// The part of the policy that governs revocations.
#[derive(Debug)]
pub struct Rules {
    dry_run: bool,
    max_revocations_per_hour: u32,
    exemptions: Exemptions,
}

/// The reason why a proposal is not granted yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restraint {
    /// The hour's budget of revocations is spent.
    Budget,
}

/// The decision about a set of proposals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision<'a> {
    /// The proposal whose revocation is to be requested now.
    pub grant: Option<&'a Alert>,
    /// The number of proposals that wait, and what they wait for.
    pub waiting: usize,
    pub restraint: Option<Restraint>,
}

impl Restraint {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Budget => "budget",
        }
    }
}

impl Rules {
    pub fn new(config: &PolicyConfig) -> Self {
        Self {
            dry_run: config.dry_run,
            max_revocations_per_hour: config.max_revocations_per_hour,
            exemptions: Exemptions::new(config),
        }
    }

    /// Whether the policy forbids all requests for revocations.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// The budget after requests at these times.
    pub fn budget(&self, spent: Vec<EventTime>) -> Budget {
        Budget::new(self.max_revocations_per_hour as usize, spent)
    }

    /// Whether this revision may lead to a revocation. Both the current policy and the policy of
    /// the time when the alert was made must allow it.
    pub fn allow(&self, alert: &Alert) -> bool {
        let Some(key_id) = alert.key_id.as_deref() else { return false };
        let is_news = matches!(alert.alert_type, AlertType::Opened | AlertType::Updated);
        is_news
            && alert.action == Action::Revoke
            && !alert.dry_run
            && !self.dry_run
            && !self.exemptions.cover(Some(key_id), alert.tenant.as_deref())
    }
}

/// Decides about `proposals`: the latest revision of each open incident without a request. The
/// incident that began first has precedence; at equal times, the one with the smaller id.
pub fn decide<'a>(
    proposals: impl IntoIterator<Item = &'a Alert>,
    rules: &Rules,
    budget: &Budget,
    now: EventTime,
) -> Decision<'a> {
    let mut waiting = 0;
    let allowed = proposals.into_iter().filter(|alert| rules.allow(alert));
    let first = allowed
        .inspect(|_| waiting += 1)
        .min_by(|a, b| (a.first_event_time, &a.id).cmp(&(b.first_event_time, &b.id)));
    let grant = first.filter(|_| budget.has_room(now));
    waiting -= usize::from(grant.is_some());
    let restraint = (grant.is_none() && waiting > 0).then_some(Restraint::Budget);
    Decision { grant, waiting, restraint }
}

/// Builds the request for a granted proposal: the same alert, under the revision number that the
/// core left free after it.
pub fn request(proposal: &Alert, now: EventTime) -> Alert {
    Alert {
        revision: proposal.revision + 1,
        alert_type: AlertType::RevocationRequested,
        detected_at: proposal.detected_at.max(now),
        ..proposal.clone()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::deliver::fixtures;

    pub fn at(second: i64) -> EventTime {
        EventTime::from_seconds(second)
    }

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

    fn granted(proposals: &[Alert], spent: Vec<EventTime>, now: i64) -> Option<&str> {
        let rules = rules(1);
        let decision = decide(proposals, &rules, &rules.budget(spent), at(now));
        decision.grant.and_then(|alert| alert.key_id.as_deref())
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
        let rules = rules(1);
        let decision = decide(&proposals, &rules, &rules.budget(vec![at(10)]), at(40));
        assert_eq!((decision.grant, decision.waiting), (None, 2));
        assert_eq!(decision.restraint, Some(Restraint::Budget));
        assert_eq!(granted(&proposals, vec![at(10)], 3_610), Some("a"));
    }

    #[test]
    fn only_news_about_keys_that_are_not_exempt_is_granted_and_never_in_a_dry_run() {
        let is_granted = |alert: Alert| granted(&[alert], Vec::new(), 40).is_some();
        let good = || proposal("key", 20);
        assert!(is_granted(good()));
        assert!(is_granted(Alert { alert_type: AlertType::Updated, ..good() }));
        assert!(!is_granted(Alert { alert_type: AlertType::Resolved, ..good() }));
        assert!(!is_granted(Alert { action: Action::Suspend, ..good() }));
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
        let asked = request(&proposal, at(90));
        assert_eq!((asked.revision, asked.detected_at), (2, at(90)));
        assert_eq!(asked.alert_type, AlertType::RevocationRequested);
        assert_eq!((asked.id, asked.explanation), (proposal.id, proposal.explanation));
    }
}
