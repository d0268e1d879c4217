//! Renders the page of the policy.

use maud::{Markup, html};

use super::load::Stored;
use super::{bounds, quiet, rules};
use crate::config::PolicyConfig;
use crate::console::frame::card;
use crate::console::visible::shown;
use crate::event::EventTime;

const LADDER: &str = "The action with the least expected cost is advised: from which confidence that is, the \
    harm of the action if the key is honest, and the loss that remains if it is stolen.";

pub(super) fn view(policy: &PolicyConfig, stored: &Stored, now: EventTime) -> Markup {
    let outcomes = stored.outcomes.as_deref();
    html! {
        div.heading { h1 { "Policy" } p.faint { "version " (shown(&policy.version)) ", as this process was started with it" } }
        (verdict(policy.dry_run))
        div.columns {
            div {
                (card("rules", "Rules", "The first that matches an incident applies, and no other. A rule never leads to a stronger action than the evidence asks for.", rules::rules(policy, outcomes)))
                (card("restraints", "Ceilings and bounds", "The reasons for milder actions in the last 30 days.", bounds::restraints(policy, outcomes)))
                (card("quiet", "Kept quiet", "", quiet::quiet(stored, policy.quiet_hours_after_close, now)))
                (card("change", "Before a change", "", change()))
            }
            div {
                (card("budgets", "Budgets", "Requests of an hour, of all processes together.", bounds::budgets(policy, stored)))
                (card("breakers", "Breakers", "", bounds::breakers(policy, stored)))
                (card("exempt", "Exempt", "Nothing but a notice, whatever the rules say.", bounds::exemptions(policy)))
                (card("approvals", "Approvals", "A person must approve the suspension or revocation of:", bounds::approvals(policy)))
                (card("ladder", "Ladder of actions", LADDER, rules::ladder(policy)))
            }
        }
    }
}

fn verdict(is_dry_run: bool) -> Markup {
    html! {
        @if is_dry_run {
            div #mode.verdict.warn { p { "Dry run: actions are recorded, and none is requested." } }
        } @else {
            div #mode.verdict.good { p { "In force: suspensions and revocations are requested." } }
        }
    }
}

/// The console has no files of its reader: the comparison is a command.
fn change() -> Markup {
    html! {
        p { "Judges the stored alerts of 30 days by two files of rules, and lists the incidents that would have been treated differently:" }
        div.copy { pre #diff tabindex="0" { code { "keywatch diff -c keywatch.toml --days 30 --policy policy.toml --policy proposed.toml" } } button type="button" data-copy="diff" hidden { "Copy" } }
        p { "Explains a configuration in words:" }
        div.copy { pre #explain tabindex="0" { code { "keywatch check-config -c keywatch.toml" } } button type="button" data-copy="explain" hidden { "Copy" } }
    }
}
