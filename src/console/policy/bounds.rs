//! Says what bounds an action: ceilings, exemptions, budgets, breakers and approvals.

use maud::{Markup, html};
use strum::VariantArray;

use super::load::{Outcome, Stored};
use crate::alert::{Action, Restraint};
use crate::config::PolicyConfig;
use crate::console::frame::{encoded, key_link, time};
use crate::console::visible::shown;
use crate::respond::{Budget, Room};
use crate::text::{count, counted, number, share};

/// Exempt keys and tenants that are named; the configuration has all.
const MOST_NAMED: usize = 50;

/// The reasons for a milder action, with the incidents that each held back.
pub(super) fn restraints(policy: &PolicyConfig, outcomes: Option<&[Outcome]>) -> Markup {
    let held = |restraint: Restraint| -> u64 {
        let rows = outcomes.unwrap_or_default().iter();
        rows.filter(|it| it.restraint() == Some(restraint)).map(|it| it.incidents).sum()
    };
    html! {
        p { "Evidence without proof asks for no more than " strong { (policy.most_without_proof.as_str()) } "." }
        table.plain {
            thead { tr { th { "An action is milder, or waits, because" } th.number { "Incidents" } } }
            tbody {
                @for restraint in Restraint::VARIANTS {
                    tr {
                        td { (restraint.because()) }
                        td.number { @if outcomes.is_some() { (count(held(*restraint) as usize)) } @else { span.faint { "unknown" } } }
                    }
                }
            }
        }
    }
}

pub(super) fn exemptions(policy: &PolicyConfig) -> Markup {
    let rules = &policy.rules.exempt;
    let keys: Vec<&String> = policy.exempt_keys.iter().chain(&rules.keys).collect();
    let tenants: Vec<&String> = policy.exempt_tenants.iter().chain(&rules.tenants).collect();
    html! {
        @if keys.is_empty() && tenants.is_empty() { p { "None: any key may be suspended or revoked." } }
        @if !keys.is_empty() {
            h3 { (counted(keys.len(), "key")) }
            ul.keys { @for key in keys.iter().take(MOST_NAMED) { li { (key_link(key)) } } }
        }
        @if !tenants.is_empty() {
            h3 { (counted(tenants.len(), "tenant")) }
            ul.keys { @for tenant in tenants.iter().take(MOST_NAMED) { li { (shown(tenant)) } } }
        }
    }
}

pub(super) fn budgets(policy: &PolicyConfig, stored: &Stored) -> Markup {
    let budget = Budget::new(policy, stored.ledger.spent.clone());
    let now = stored.ledger.now;
    let rooms = [Action::Suspend, Action::Revoke].map(|action| (action, budget.room(action, now)));
    html! {
        table.plain {
            thead { tr { th { "Action" } th.number { "Limit" } th.number { "Spent" } th.number { "Left" } th.number { "Kept" } th.number { "Tenant" } } }
            tbody { @for (action, room) in &rooms { (row(*action, room)) } }
        }
        @if let Some(free) = budget.next_change(now) { p.note { "The next request leaves the hour at " (time(free)) "." } }
        p.note { (share(policy.kept_for_certain)) " of each budget is kept for the most certain incidents. The last column is the limit of one tenant's keys." }
    }
}

fn row(action: Action, room: &Room) -> Markup {
    html! {
        tr {
            td.action { (action) }
            td.number { (room.limit) }
            td.number { (room.spent) }
            td.number { strong { (room.left) } }
            td.number { (room.kept_left) }
            td.number { (room.of_tenant) }
        }
    }
}

pub(super) fn breakers(policy: &PolicyConfig, stored: &Stored) -> Markup {
    html! {
        @if stored.breakers.is_empty() { p { "None is open." } }
        @for alert in &stored.breakers {
            p { span.mark-bad { "open" } " " a href={ "/incidents/" (encoded(&alert.id)) } { (shown(&alert.title)) } }
        }
        p.note {
            "One opens when " (share(policy.breaker_key_share)) " of the keys in use were acted upon within a day, or "
            (counted(policy.breaker_same_evidence as usize, "action")) " within an hour rest on one kind of evidence."
        }
    }
}

pub(super) fn approvals(policy: &PolicyConfig) -> Markup {
    let approval = &policy.approval;
    let above = approval.above_requests_per_day;
    let rules = policy.rules.rules.iter().filter(|rule| rule.approval);
    let rules: Vec<&str> = rules.map(|rule| rule.name.as_str()).collect();
    html! {
        dl.fields {
            dt { "Requests a day" } dd { @if above == 0 { "no key needs one for its traffic" } @else { "keys with more than " (count(above as usize)) } }
            dt { "Tenants" } dd { (named(&approval.tenants)) }
            dt { "Environments" } dd { (named(&approval.environments)) }
            dt { "Rules" } dd { (named(&rules)) }
        }
        p.note {
            "A request that cannot be sent within " (number(policy.request_deadline_minutes)) " min is withdrawn. A suspension lasts "
            (number(policy.suspend_hours)) " h."
        }
    }
}

fn named<T: AsRef<str>>(names: &[T]) -> Markup {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    html! { @if names.is_empty() { span.faint { "none" } } @else { (shown(&names.join(", "))) } }
}
