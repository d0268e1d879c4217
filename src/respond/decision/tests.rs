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

fn look<'a>(proposals: &'a [Alert], rules: &Rules, spent: Vec<Spent>, now: i64) -> Decision<'a> {
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
    let decision = decide(&proposals, &rules, &budget, &[], approval(Approval::Pending), at(30));
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
    let facts =
        |requests, environment: &str| KeyFacts { requests, environment: environment.to_owned() };
    let needs = |key, facts| rules.needs_approval(&proposal(key, 1), &facts);
    assert!(!needs("a", facts(1_000, "test")));
    assert!(needs("a", facts(1_001, "test")));
    assert!(needs("a", facts(1, "production")));
    assert!(needs("bank", facts(1, "test")));
}
