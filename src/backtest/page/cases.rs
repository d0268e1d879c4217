//! Single keys: what they did around an attack or an incident.

use maud::{Markup, html};

use super::super::cases::{AttackCase, IncidentCase, Requests};
use super::super::report::Report;
use super::draw::{AXIS_HEIGHT, badge, legend, level, round_up, severity_class, time_axis};
use super::scale::{TimeAxis, count, counted, duration_text, number, percent, time_text};
use crate::event::EventTime;

const HEIGHT: f64 = 84.0;
/// Room above the bars for the heads of the alerts' marks.
const ABOVE: f64 = 26.0;

/// Nothing without labels.
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
    super::section(
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
        (None, None) => "missed: nothing named it".to_owned(),
    };
    let lasting = duration_text(case.end.seconds_since(case.start));
    html! {
        div.case {
            h3 { (case.kind) ": " (verdict) }
            p.faint {
                @match &case.key_id { Some(key) => { "Key " code { (key) } }, None => "All keys" }
                ", from " (time_text(case.start)) ", lasting " (lasting) "."
                @if !case.detectors.is_empty() { " It would have counted for: " (case.detectors.join(", ")) "." }
            }
            (timeline(&TimeAxis::new(case.from, case.to), &case.requests, Some((case.start, case.end))))
        }
    }
}

/// Nothing without incidents; with labels only the false ones.
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
    super::section(heading, explanation, &body)
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
    let bin_seconds = f64::from(requests.bin_seconds);
    let inside = |at: f64| (0.0..=1.0).contains(&at);
    let bars: Vec<_> = requests.bins.iter().filter(|bin| inside(axis.at(bin.start))).collect();
    let most = bars.iter().map(|bin| bin.requests).max().unwrap_or(0);
    let top = round_up(f64::from(most));
    // A hairline between bars that are wide enough to bear one.
    let gap = if axis.width(bin_seconds) > 0.006 { 0.88 } else { 1.0 };
    let words = format!("requests in {}", duration_text(bin_seconds));
    html! {
        svg.plot height=(ABOVE + HEIGHT + AXIS_HEIGHT) role="img" aria-label={ (words) ", at most " (most) ", with " (counted(requests.alerts.len(), "alert")) } {
            svg y=(ABOVE) {
                @if let Some((start, end)) = attack { (shade(axis, start, end)) }
                (level(0.0, &format!("{} {words}", count(top as usize))))
                (time_axis(axis, HEIGHT))
                @for bin in bars {
                    @let height = HEIGHT * f64::from(bin.requests) / top;
                    rect.requests x=(percent(axis.at(bin.start))) width=(percent(axis.width(bin_seconds) * gap)) y=(format!("{:.1}", HEIGHT - height)) height=(format!("{height:.1}")) {
                        title { (time_text(bin.start)) ": " (counted(bin.requests as usize, "request")) }
                    }
                }
                @for mark in requests.alerts.iter().filter(|mark| inside(axis.at(mark.time))) {
                    @let x = percent(axis.at(mark.time));
                    line.mark x1=(x) x2=(x) y1="-14" y2=(HEIGHT) {}
                    circle class=(severity_class(mark.severity)) cx=(x) cy="-19" r="5" {
                        title { (time_text(mark.time)) ": " (mark.severity) ", " (mark.detectors.iter().map(|d| d.as_str()).collect::<Vec<_>>().join(", ")) }
                    }
                }
            }
        }
    }
}

/// The time of the attack, at least wide enough to be seen.
fn shade(axis: &TimeAxis, start: EventTime, end: EventTime) -> Markup {
    let width = axis.width(end.seconds_since(start)).max(0.004);
    html! { rect.attack x=(percent(axis.at(start))) width=(percent(width)) y="-4" height=(HEIGHT + 4.0) {} }
}
