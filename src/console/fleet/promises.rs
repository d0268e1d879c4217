//! Renders the promised false alerts beside the measured ones.

use maud::{Markup, html};

use super::load::{Fleet, OUTCOME_DAYS};
use crate::alert::{Alert, DetectorId};
use crate::config::OnBrokenPromise;
use crate::console::Console;
use crate::console::frame::encoded;
use crate::decide::promise::{Balance, family_of, is_restrained};
use crate::detect::{Family, family};
use crate::store::Outcomes;
use crate::text::{count, counted, number};

pub(super) fn promises(console: &Console, fleet: &Fleet) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Promised and measured" { table.plain {
            thead { tr {
                th { "Family" } th.number { "Promised" } th.number { "Measured" }
                th.number { "Beyond a notice" } th { "Promise" } th.number { "People: true" } th.number { "false" }
            } }
            tbody { @for balance in &fleet.balances { (row(console, fleet, balance)) } }
        } }
        (confidence(&fleet.outcomes))
    }
}

fn row(console: &Console, fleet: &Fleet, balance: &Balance) -> Markup {
    let stored = fleet.broken.iter().find(|alert| family_of(alert) == Some(balance.family));
    let (confirmed, dismissed) = closed(&fleet.outcomes, balance.family);
    html! {
        tr {
            td.mono { (balance.family.as_str()) }
            td.number { (number(balance.promised)) }
            td.number { (count(balance.measured as usize)) }
            td.number { (count(balance.acting as usize)) }
            td { (state(console, balance, stored)) }
            td.number { (count(confirmed as usize)) }
            td.number { (count(dismissed as usize)) }
        }
    }
}

/// Whether the promise holds, and what follows if it does not.
fn state(console: &Console, balance: &Balance, stored: Option<&Alert>) -> Markup {
    let is_compared = console.on_broken_promise != OnBrokenPromise::Ignore;
    html! {
        @match stored {
            Some(alert) => {
                span.mark-bad { "broken" }
                @if is_restrained(alert) { ", asks for notices only" }
                " · " a href={ "/incidents/" (encoded(&alert.id)) } { "incident" }
            },
            None if balance.is_broken(false) => {
                span.mark-bad { "broken" } @if !is_compared { ", and not reported" }
            },
            None => "holds",
        }
    }
}

/// Incidents that people closed as true and as false, by the family of their strongest evidence.
fn closed(outcomes: &[Outcomes], of: Family) -> (u64, u64) {
    let is_of = |row: &&Outcomes| DetectorId::named(&row.detector).map(family) == Some(of);
    let rows = outcomes.iter().filter(is_of);
    rows.fold((0, 0), |(yes, no), row| (yes + row.confirmed, no + row.dismissed))
}

/// The confidences of closed incidents against what people said of them.
fn confidence(outcomes: &[Outcomes]) -> Markup {
    let sum = |of: fn(&Outcomes) -> u64| outcomes.iter().map(of).sum::<u64>();
    let (confirmed, dismissed) = (sum(|row| row.confirmed), sum(|row| row.dismissed));
    let expected: f64 = outcomes.iter().map(|row| row.expected).sum();
    html! {
        p.note {
            @if confirmed + dismissed == 0 {
                "In " (OUTCOME_DAYS) " days nobody has confirmed or dismissed an incident: how true alerts are is not known."
            } @else {
                "Of " (counted((confirmed + dismissed) as usize, "incident")) " that people closed in " (OUTCOME_DAYS)
                " days, by their confidence " (number(expected)) " should be true; " (count(confirmed as usize)) " were."
            }
        }
    }
}
