//! Renders the difference as one HTML page, like the report of a backtest.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::{Difference, PolicyOutcome, Revocation, RevokedKey};
use crate::page::draw::{PLOT_HEIGHT, anchor, bar, figure_cell, legend, request_plot};
use crate::page::scale::{
    TimeAxis, count, counted, duration_text, number, percent, share_text, time_text, volume_text,
};
use crate::page::{card, page, section};

/// Short labels for the two configurations, shown beside their names.
pub const SIDES: [&str; 2] = ["A", "B"];

/// The largest number of tenants and of keys listed one by one.
const SHOWN: usize = 20;

/// The same difference gives the same bytes.
pub fn render(difference: &Difference) -> String {
    let body = html! {
        (head(difference))
        (policies(difference))
        (tenants(difference))
        (disputed(difference))
        (agreed(difference))
    };
    page("diff", &headline(difference), &body)
}

/// The result in one sentence.
pub fn headline(difference: &Difference) -> String {
    let [a, b] = &difference.policies;
    match (a.revoked_alone, b.revoked_alone) {
        (0, 0) if a.revoked == 0 => "neither revokes a key".to_owned(),
        (0, 0) => format!("both revoke the same {}", counted(a.revoked, "key")),
        (0, more) => format!("B revokes {} that A does not", counted(more, "key")),
        (fewer, 0) => format!("A revokes {} that B does not", counted(fewer, "key")),
        (fewer, more) => {
            format!(
                "B revokes {} that A does not, and A {fewer} that B does not",
                counted(more, "key")
            )
        }
    }
}

fn head(difference: &Difference) -> Markup {
    let bounds = difference.first_event_time.zip(difference.last_event_time);
    let span = volume_text(difference.events, difference.keys, bounds);
    let cards = difference.policies.iter().zip(SIDES).map(|(policy, side)| {
        let alone = format!("{} only by it; {}", count(policy.revoked_alone), policy.name);
        card(&format!("Keys that {side} revokes"), &count(policy.revoked), &alone)
    });
    let lost = difference.policies.iter().zip(SIDES).map(|(policy, side)| {
        let tenants = counted(harmed_tenants(policy), "tenant");
        let name = format!("Owners' requests lost with {side}");
        card(&name, &count(policy.lost.owner as usize), &format!("of {tenants}"))
    });
    html! {
        header {
            h1 { "Keywatch diff: " (headline(difference)) }
            p.faint { (span) }
        }
        dl.cards { @for card in cards.chain(lost) { (card) } }
    }
}

fn harmed_tenants(policy: &PolicyOutcome) -> usize {
    policy.lost_by_tenant.values().filter(|lost| **lost > 0).count()
}

fn policies(difference: &Difference) -> Markup {
    let body = html! {
        table {
            thead { tr {
                th { "Configuration" } th { "Revoked" } th { "Only by it" }
                @if difference.has_labels { th { "Wrongly" } }
                th { "Owners' requests lost" } th { "Others' requests stopped" }
            } }
            @for (policy, side) in difference.policies.iter().zip(SIDES) {
                tr {
                    td { b { (side) } " " (policy.name) " (" (policy.version) ")" }
                    td { (count(policy.revoked)) }
                    td { (count(policy.revoked_alone)) }
                    @if difference.has_labels { td { (wrongly(policy)) } }
                    td { (count(policy.lost.owner as usize)) }
                    td { (count(policy.lost.others as usize)) }
                }
            }
        }
    };
    section(
        "The result of each configuration",
        "Both run without `dry_run`. Requests are those that were answered after the \
         revocation: the owner's when they came from a network that had used the key before the \
         evidence began, others' when not. Wrongly revoked keys are those that no known attack explains.",
        &body,
    )
}

fn wrongly(policy: &PolicyOutcome) -> String {
    if policy.revoked == 0 {
        return "0".into();
    }
    let share = policy.revoked_wrongly as f64 / policy.revoked as f64;
    format!("{} ({})", count(policy.revoked_wrongly), share_text(share))
}

fn tenants(difference: &Difference) -> Markup {
    let [a, b] = &difference.policies;
    let lost = |policy: &PolicyOutcome, tenant: &str| {
        policy.lost_by_tenant.get(tenant).copied().unwrap_or_default()
    };
    let names: BTreeSet<&String> = a.lost_by_tenant.keys().chain(b.lost_by_tenant.keys()).collect();
    let mut rows: Vec<(&String, [u64; 2])> =
        names.into_iter().map(|name| (name, [lost(a, name), lost(b, name)])).collect();
    rows.retain(|(_, lost)| lost.iter().any(|lost| *lost > 0));
    rows.sort_by_key(|(_, [a, b])| std::cmp::Reverse(*a.max(b)));
    let most = rows.iter().flat_map(|(_, lost)| lost).max().copied().unwrap_or(0);
    if most == 0 {
        return html! {};
    }
    let body = html! {
        table {
            thead { tr { th { "Tenant" } th { "A" } th { "B" } } }
            @for (tenant, lost) in rows.iter().take(SHOWN) {
                tr {
                    td { @if tenant.is_empty() { span.faint { "none" } } @else { (tenant) } }
                    @for lost in lost {
                        @let words = count(*lost as usize);
                        (figure_cell(bar(*lost as f64 / most as f64, "false", &words), &words))
                    }
                }
            }
        }
        @if rows.len() > SHOWN { p.faint { "And " (counted(rows.len() - SHOWN, "more tenant")) "." } }
    };
    section(
        "Traffic that would have broken",
        "Owners' requests that would have been refused, by tenant.",
        &body,
    )
}

fn disputed(difference: &Difference) -> Markup {
    let keys: Vec<&RevokedKey> =
        difference.revoked.iter().filter(|key| key.is_disputed()).collect();
    if keys.is_empty() {
        return html! {};
    }
    let body = html! {
        @for key in keys.iter().take(SHOWN) { (case(difference, key)) }
        @if keys.len() > SHOWN { p.faint { "And " (counted(keys.len() - SHOWN, "more key")) "; the report as JSON has all." } }
        (legend(&[("requests", "requests of the key"), ("attack", "after the revocation")]))
    };
    section(
        "Keys that only one revokes",
        "All requests of each key, with the moment of its revocation and the evidence for it.",
        &body,
    )
}

fn case(difference: &Difference, key: &RevokedKey) -> Markup {
    let revocations = key.by.iter().zip(SIDES);
    let revocations: Vec<_> =
        revocations.filter_map(|(by, side)| Some((by.as_ref()?, side))).collect();
    html! {
        div.case {
            @for (revocation, side) in &revocations {
                h3 { "Only " (side) ": " (revocation.title) }
                p { (revocation.explanation) }
                p.faint {
                    "Revoked " (time_text(revocation.time)) " UTC, confidence " (number(revocation.confidence)) ". "
                    (verdict(difference, key)) " "
                    (lost(revocation)) " Incident " code { (revocation.incident) } "."
                }
            }
            (plot(difference, key, &revocations))
        }
    }
}

fn verdict(difference: &Difference, key: &RevokedKey) -> String {
    match &key.attack {
        Some(kind) => format!("It was under attack ({kind})."),
        None if difference.has_labels => "No known attack explains it.".into(),
        None => String::new(),
    }
}

fn lost(revocation: &Revocation) -> String {
    let owner = counted(revocation.lost.owner as usize, "request");
    let others = count(revocation.lost.others as usize);
    format!("{owner} of the owner would have been refused, and {others} of others.")
}

fn plot(difference: &Difference, key: &RevokedKey, revocations: &[(&Revocation, &str)]) -> Markup {
    let (Some(first), Some(last)) = (difference.first_event_time, difference.last_event_time)
    else {
        return html! {};
    };
    let axis = TimeAxis::new(first, last);
    let shown = || revocations.iter().filter(|(revocation, _)| axis.shows(revocation.time));
    let behind = html! {
        @for (revocation, _) in shown() {
            @let at = axis.at(revocation.time);
            rect.attack x=(percent(at)) width=(percent(1.0 - at)) y="-4" height=(PLOT_HEIGHT + 4.0) {}
        }
    };
    let marks = html! {
        @for (revocation, side) in shown() {
            @let at = axis.at(revocation.time);
            line.mark x1=(percent(at)) x2=(percent(at)) y1="-10" y2=(PLOT_HEIGHT) {}
            text.tick x=(percent(at)) y="-14" text-anchor=(anchor(at)) { "revoked by " (side) }
        }
    };
    let bins = key.requests.iter().map(|bin| (bin.start, bin.requests));
    request_plot(&axis, bins, key.bin_seconds, "the revocation", &behind, &marks)
}

fn agreed(difference: &Difference) -> Markup {
    let both = |key: &'_ RevokedKey| match &key.by {
        [Some(a), Some(b)] => Some((key.key_id.clone(), key.attack.clone(), a.clone(), b.clone())),
        _ => None,
    };
    let keys: Vec<_> = difference.revoked.iter().filter_map(both).collect();
    if keys.is_empty() {
        return html! {};
    }
    let body = html! {
        table {
            thead { tr { th { "Key" } th { "A" } th { "B" } @if difference.has_labels { th { "Attack" } } } }
            @for (key_id, attack, a, b) in keys.iter().take(SHOWN) {
                tr {
                    td { code { (key_id) } }
                    td { (time_text(a.time)) }
                    td { @if a.time == b.time { "at the same time" } @else { (apart(a, b)) } }
                    @if difference.has_labels { td { @match attack { Some(kind) => (kind), None => span.faint { "none known" } } } }
                }
            }
        }
        @if keys.len() > SHOWN { p.faint { "And " (counted(keys.len() - SHOWN, "more key")) "." } }
    };
    section(
        "Keys that both revoke",
        "When A asks for it, and how much earlier or later B does.",
        &body,
    )
}

fn apart(a: &Revocation, b: &Revocation) -> String {
    let seconds = b.time.seconds_since(a.time);
    let side = if seconds < 0.0 { "earlier" } else { "later" };
    format!("{} {side}", duration_text(seconds.abs()))
}
