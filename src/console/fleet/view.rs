//! Renders the page of the fleet.

use maud::{Markup, html};

use super::load::{Fleet, Traffic};
use super::{coverage, promises};
use crate::console::Console;
use crate::console::frame::{ago, card};
use crate::console::visible::shown;
use crate::decide::promise::DAYS;
use crate::event::EventTime;
use crate::telemetry::{Drifted, Fit};
use crate::text::{count, number, share};

/// From this stability index on, a feature counts as drifted.
const DRIFTED: f64 = 0.25;
/// Fewer windows say nothing about drift.
const ENOUGH_WINDOWS: u32 = 1_000;

/// Takes one figure of the traffic.
type Figure = fn(&Traffic) -> u64;

pub(super) fn view(console: &Console, fleet: &Fleet, now: EventTime) -> Markup {
    let blind = fleet.inputs.blind(console.given);
    let fit = console.health.fit();
    html! {
        div.heading { h1 { "Fleet" } p.faint { "all keys together: promises, drift, and what is seen" } }
        (card("promises", "Promised and measured", &explanation(console), promises::promises(console, fleet)))
        div.columns {
            div {
                (card("traffic", "How the traffic has moved", "The last seven days against the seven days before.", traffic(fleet.traffic.as_deref())))
                (card("drift", "Drift of behaviour", "The hours that this process judged against those that the model was trained with: the population stability index of each feature. Above 0.25 it has drifted.", drift(&fit)))
            }
            div {
                (card("versions", "Running processes", "", processes(fleet, &fit, now)))
            }
        }
        (card("techniques", "Coverage by technique", "", coverage::techniques(fleet, &blind)))
        (card("detectors", "Detectors", "What each one sees, from which age of a key, and how many incidents had evidence of it: in the last seven days, and in a week of the four before.", coverage::detectors(fleet, &blind, now)))
    }
}

fn explanation(console: &Console) -> String {
    format!(
        "The configuration promises {} false alerts a week over all keys, divided among the families. \
         Measured are the incidents of the last {DAYS} days that rest on one family alone, true or \
         false: a key counts once, a tenant once a day, a family once an hour.",
        number(console.detect.expected_false_alerts_per_week)
    )
}

fn traffic(traffic: Option<&[Traffic]>) -> Markup {
    let Some(rows) = traffic else {
        return html! { p { "It could not be counted in the time of a page." } };
    };
    let of = |before: u8| rows.iter().find(|row| row.before == before);
    let nothing = Traffic::default();
    let (now, before) = (of(0).unwrap_or(&nothing), of(1).unwrap_or(&nothing));
    let part = |some: u64, all: u64| if all == 0 { 0.0 } else { some as f64 / all as f64 };
    let shares: [(&str, Figure); 3] = [
        ("Failed", |row| row.failed),
        ("Refused (401, 403)", |row| row.refused),
        ("Throttled", |row| row.throttled),
    ];
    let counts: [(&str, Figure); 3] = [
        ("Keys used", |row| row.keys),
        ("Requests", |row| row.requests),
        ("Bytes answered", |row| row.bytes),
    ];
    html! {
        @if rows.is_empty() { p { "No request was stored in these days." } }
        @else { table.plain {
            thead { tr { th { "" } th.number { "7 days" } th.number { "before" } th.number { "Change" } } }
            tbody {
                @for (name, of) in counts { tr {
                    td { (name) } td.number { (number(of(now) as f64)) } td.number { (number(of(before) as f64)) }
                    td.number { (change(of(now) as f64, of(before) as f64)) }
                } }
                @for (name, of) in shares {
                    @let (later, earlier) = (part(of(now), now.requests), part(of(before), before.requests));
                    tr { td { (name) } td.number { (share(later)) } td.number { (share(earlier)) } td.number { (change(later, earlier)) } }
                }
            }
        } }
    }
}

/// `+12 %`; nothing can be said without a figure from before.
fn change(now: f64, before: f64) -> String {
    if before <= 0.0 {
        return "–".into();
    }
    format!("{:+.0} %", 100.0 * (now / before - 1.0))
}

fn drift(fit: &Fit) -> Markup {
    let (judged, few): (Vec<&Drifted>, Vec<&Drifted>) =
        fit.drift.iter().partition(|feature| feature.windows >= ENOUGH_WINDOWS);
    html! {
        @if fit.drift.is_empty() { p { "This process has not judged an hour of behaviour yet." } }
        @else if judged.is_empty() {
            p { "This process has judged " (few.iter().map(|it| it.windows).max().unwrap_or_default()) " hours of keys since its start; from " (count(ENOUGH_WINDOWS as usize)) " on, drift is shown." }
        } @else { table.plain {
            thead { tr { th { "Feature" } th { "Against" } th.number { "Index" } th.number { "Hours" } } }
            tbody { @for feature in judged { tr {
                td { (feature.words) }
                td { @if feature.against == "own" { "the key's past" } @else { "other keys" } }
                td.number { @if feature.stability_index > DRIFTED { span.mark-bad { "drifted" } " " } (format!("{:.2}", feature.stability_index)) }
                td.number { (count(feature.windows as usize)) }
            } } }
        } }
    }
}

fn processes(fleet: &Fleet, fit: &Fit, now: EventTime) -> Markup {
    html! {
        @if fleet.processes.is_empty() { p { "No process has said within a minute that it is running." } }
        @else { ul.course {
            @for process in &fleet.processes { li {
                div { "Keywatch " (shown(&process.version)) ", policy " strong { (shown(&process.policy)) } }
                div { "model " span.mono { (shown(&process.model)) } }
                span.faint { span.mono { (shown(&process.process)) } ", started " (ago(EventTime::from_micros(process.started), now)) }
            } }
        } }
        @if !fit.model_version.is_empty() { p.note { "This process judges with the model " span.mono { (fit.model_version) } "." } }
    }
}
