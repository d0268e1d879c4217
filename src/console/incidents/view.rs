//! Renders the list.

use maud::{Markup, html};
use strum::VariantArray;

use super::filter::{Choice, Cursor, TIMES};
use super::list::{About, Incident};
use super::{PAGE, bulk};
use crate::alert::{DetectorId, IncidentState, Severity};
use crate::console::frame::{ago, encoded, key_link, source_link};
use crate::console::visible::{shown, visible};
use crate::console::visitor::Visitor;
use crate::console::words;
use crate::event::EventTime;
use crate::page::draw;
use crate::text::counted;

pub(super) fn heading(choice: &Choice, incidents: &[Incident]) -> Markup {
    let matching = incidents.first().map_or(0, |incident| incident.matching);
    let state = choice.state_name();
    let noun = if state.is_empty() { "incident".to_owned() } else { format!("{state} incident") };
    html! {
        div #count.heading data-live {
            h1 { (counted(matching as usize, &noun)) }
            p.faint { (choice.time().1) ", " @if choice.by_risk { "riskiest first" } @else { "newest first" } }
        }
    }
}

/// The filter as a form: its address can be kept and passed on.
pub(super) fn form(choice: &Choice) -> Markup {
    html! {
        form #filter.filter action="/incidents" method="get" aria-label="Filter" {
            (select("state", "State", choice.state_name(), &states()))
            (select("severity", "Severity", choice.severity_name(), &severities()))
            (select("detector", "Detector", choice.detector_name(), &detectors()))
            (select("since", "Time", choice.time().0, &TIMES.map(|(value, _, words)| (value, words))))
            (select("sort", "Order", if choice.by_risk { "risk" } else { "" }, &[("", "newest first"), ("risk", "riskiest first")]))
            label { span { "Key or source" }
                input type="search" name="key" value=(choice.about) placeholder="part of an id" maxlength="512" autocomplete="off" spellcheck="false";
            }
            button type="submit" { "Filter" }
            @if *choice != Choice::default() { a.quiet href="/incidents" { "Clear" } }
        }
    }
}

fn states() -> Vec<(&'static str, &'static str)> {
    let named = IncidentState::VARIANTS.iter().map(|state| (state.as_str(), state.as_str()));
    std::iter::once(("", "any state")).chain(named).collect()
}

fn severities() -> Vec<(&'static str, &'static str)> {
    let named = Severity::ALL.iter().rev().map(|severity| (severity.as_str(), severity.as_str()));
    std::iter::once(("", "any severity")).chain(named).collect()
}

fn detectors() -> Vec<(&'static str, &'static str)> {
    let mut named: Vec<_> = DetectorId::VARIANTS.iter().map(|d| (d.as_str(), d.as_str())).collect();
    named.sort_unstable();
    std::iter::once(("", "any detector")).chain(named).collect()
}

fn select(name: &str, label: &str, chosen: &str, options: &[(&str, &str)]) -> Markup {
    html! {
        label { span { (label) }
            select name=(name) {
                @for (value, words) in options { option value=(value) selected[*value == chosen] { (words) } }
            }
        }
    }
}

pub(super) fn results(
    visitor: &Visitor,
    choice: &Choice,
    incidents: &[Incident],
    now: EventTime,
) -> Markup {
    let next = incidents.last().filter(|_| incidents.len() == PAGE).map(Incident::cursor);
    html! {
        section #incidents.card.flush data-live aria-label="Incidents" {
            @if incidents.is_empty() {
                div.empty {
                    h2 { "Nothing here" }
                    p { "No incident matches this filter." }
                }
            } @else { (rows(incidents, true, now, visitor)) }
            @if choice.after.is_some() || next.is_some() { (pages(choice, next.as_ref())) }
        }
    }
}

fn pages(choice: &Choice, next: Option<&Cursor>) -> Markup {
    html! {
        nav.pages aria-label="Pages of the list" {
            @if choice.after.is_some() { a.button href=(choice.address(None)) { "First page" } }
            @if let Some(next) = next { a.button rel="next" href=(choice.address(Some(next))) { "Next page" } }
        }
    }
}

/// Incidents as rows. `with_subject`: whether the rows name their key or source.
pub fn table(incidents: &[Incident], with_subject: bool, now: EventTime) -> Markup {
    rows(incidents, with_subject, now, &Visitor::default())
}

/// The same, with a box to choose each incident for those who may act.
fn rows(incidents: &[Incident], with_subject: bool, now: EventTime, visitor: &Visitor) -> Markup {
    html! {
        table.rows {
            thead { tr {
                th { "Severity" }
                th { "Incident" }
                @if with_subject { th.wide { "About" } }
                th.number { "Risk" }
                th.wide { "Action" }
                th { "State" }
                th.when { "Last seen" }
            } }
            tbody { @for incident in incidents { (row(incident, with_subject, now, visitor)) } }
        }
    }
}

fn row(incident: &Incident, with_subject: bool, now: EventTime, visitor: &Visitor) -> Markup {
    let address = format!("/incidents/{}", encoded(&incident.id));
    html! {
        tr data-row {
            td { (bulk::choice(visitor, &incident.id, &visible(&incident.title))) (words::severity(incident.severity)) }
            td.title {
                a href=(address) title=(visible(&incident.title)) { (shown(&short_title(incident))) }
                div.detectors { @for detector in incident.detectors().take(3) { span { (draw::name(detector.as_str())) } } }
            }
            @if with_subject { td.wide.subject { (subject(incident)) } }
            td.number { (format!("{:.0}", incident.risk)) }
            td.wide { (words::action(incident.action, incident.dry_run)) }
            td { (words::state(incident.state)) (handling(incident)) }
            td.when { (ago(incident.last_event(), now)) }
        }
    }
}

/// Why it was closed, or who has it.
fn handling(incident: &Incident) -> Markup {
    html! {
        @if !incident.close_reason.is_empty() { div.faint { (incident.close_reason) } }
        @else if !incident.assignee.is_empty() { div.faint { (shown(&incident.assignee)) } }
    }
}

/// The title without the subject, which has a column of its own.
fn short_title(incident: &Incident) -> String {
    let rest = match incident.about() {
        About::Key(key) => incident.title.strip_prefix(&format!("Key {key}: ")),
        About::Source(_) | About::Monitor => None,
    };
    let title = rest.unwrap_or(&incident.title);
    let mut letters = title.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

fn subject(incident: &Incident) -> Markup {
    match incident.about() {
        About::Key(key) => key_link(key),
        About::Source(source) => source_link(source),
        About::Monitor => html! { span.faint { "Keywatch itself" } },
    }
}
