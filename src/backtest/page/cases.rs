//! Shows the requests of single keys around an attack or an incident.

use maud::{Markup, html};

use super::super::cases::{AttackCase, IncidentCase, Requests};
use super::super::figures::Report;
use crate::event::EventTime;
use crate::page;
use crate::page::draw::{PLOT_HEIGHT, badge, legend, request_plot, severity_class};
use crate::page::scale::{TimeAxis, counted, duration_text, number, percent, time_text};

/// Renders the attacks; empty without labels.
pub fn attacks(report: &Report) -> Markup {
    if report.worst_attacks.is_empty() {
        return html! {};
    }
    let missed =
        report.worst_attacks.iter().filter(|case| case.seconds_to_detect.is_none()).count();
    let heading = match missed {
        0 => "Attacks found latest",
        _ if missed == report.worst_attacks.len() => "Missed attacks",
        _ => "Missed attacks, and those found latest",
    };
    let body = html! {
        @for case in &report.worst_attacks { (attack(case)) }
        (legend(&[("requests", "requests of the key"), ("attack", "the attack"), ("medium", "alert, by severity")]))
    };
    page::section(
        heading,
        "The requests of each attacked key before, during and after the attack, with the alerts \
         about it. A missed attack is one that no alert of medium severity or above named.",
        &body,
    )
}

fn attack(case: &AttackCase) -> Markup {
    let verdict = match (case.seconds_to_detect, case.seconds_to_first_sign) {
        (Some(seconds), _) => format!("found after {}", duration_text(seconds)),
        (None, Some(seconds)) => {
            format!("missed: only a low sign, after {}", duration_text(seconds))
        }
        (None, None) => "missed: no alert named it".to_owned(),
    };
    let lasting = duration_text(case.end.seconds_since(case.start));
    html! {
        div.case {
            h3 { (case.kind) ": " (verdict) }
            p.faint {
                @match &case.key_id { Some(key) => { "Key " code { (key) } }, None => "All keys" }
                ", from " (time_text(case.start)) ", lasting " (lasting) "."
                @if !case.detectors.is_empty() { " Detectors that count as finding it: " (case.detectors.join(", ")) "." }
            }
            (timeline(&TimeAxis::new(case.from, case.to), &case.requests, Some((case.start, case.end))))
        }
    }
}

/// Renders the incidents, with labels only the false ones; empty without incidents.
pub fn incidents(report: &Report) -> Markup {
    if report.worst_incidents.is_empty() {
        return html! {};
    }
    let (heading, explanation) = if report.labels > 0 {
        (
            "False alerts of highest risk",
            "Incidents that no known attack explains, with the requests of their keys over the \
             whole run. Some may be attacks that the labels do not know.",
        )
    } else {
        (
            "Incidents of highest risk",
            "Where to look first: the requests of the keys concerned over the whole run, with the \
             alerts about them.",
        )
    };
    let body = html! {
        @for case in &report.worst_incidents { (incident(case)) }
        (legend(&[("requests", "requests of the key"), ("medium", "alert, by severity")]))
    };
    page::section(heading, explanation, &body)
}

fn incident(case: &IncidentCase) -> Markup {
    let detectors: Vec<&str> = case.detectors.iter().map(|detector| detector.as_str()).collect();
    html! {
        div.case {
            h3 { (badge(case.severity)) " " (case.title) }
            p { (case.explanation) }
            p.faint {
                "Opened " (time_text(case.opened)) ", risk " (number(case.risk.round())) " of 100, by " (detectors.join(", ")) ". Incident " code { (case.id) } "."
            }
            @if !case.requests.bins.is_empty() {
                (timeline(&TimeAxis::new(case.from, case.to), &case.requests, None))
            }
        }
    }
}

fn timeline(
    axis: &TimeAxis,
    requests: &Requests,
    attack: Option<(EventTime, EventTime)>,
) -> Markup {
    let shown = requests.alerts.iter().filter(|mark| axis.shows(mark.time));
    let marks = html! {
        @for mark in shown {
            @let x = percent(axis.at(mark.time));
            line.mark x1=(x) x2=(x) y1="-14" y2=(PLOT_HEIGHT) {}
            circle class=(severity_class(mark.severity)) cx=(x) cy="-19" r="5" {
                title { (time_text(mark.time)) ": " (mark.severity) ", " (mark.detectors.iter().map(|d| d.as_str()).collect::<Vec<_>>().join(", ")) }
            }
        }
    };
    let alerts = counted(requests.alerts.len(), "alert");
    let behind = attack.map(|(start, end)| shade(axis, start, end)).unwrap_or_default();
    let bins = requests.bins.iter().map(|bin| (bin.start, bin.requests));
    request_plot(axis, bins, requests.bin_seconds, &alerts, &behind, &marks)
}

/// Shades the time of the attack, at least wide enough to be visible.
fn shade(axis: &TimeAxis, start: EventTime, end: EventTime) -> Markup {
    let width = axis.width(end.seconds_since(start)).max(0.004);
    html! { rect.attack x=(percent(axis.at(start))) width=(percent(width)) y="-4" height=(PLOT_HEIGHT + 4.0) {} }
}
