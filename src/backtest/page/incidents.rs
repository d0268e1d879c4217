//! Shows when incidents were opened, and which detectors opened them.

use maud::{Markup, html};

use super::super::figures::{DetectorFigures, IncidentTime, Report};
use crate::alert::Severity;
use crate::event::EventTime;
use crate::page;
use crate::page::draw::{AXIS_HEIGHT, legend, level, name, round_up, severity_class, time_axis};
use crate::page::scale::{TimeAxis, count, counted, percent, time_text};

const HEIGHT: f64 = 120.0;
/// Room above the plot for the label of its top line.
const ABOVE: f64 = 14.0;
const COLUMNS: usize = 48;

/// Number of incidents opened within one column of the plot, by severity from low to critical.
type Column = [usize; Severity::ALL.len()];

pub fn over_time(report: &Report) -> Markup {
    let (Some(first), Some(last)) = (report.first_event_time, report.last_event_time) else {
        return html! {};
    };
    if report.incidents == 0 {
        let quiet = html! { p { "No incidents were opened." } };
        return page::section("Incidents over time", "When incidents were opened.", &quiet);
    }
    let axis = TimeAxis::new(first, last);
    let columns = columns(&axis, &report.incident_times);
    let total = |column: &Column| column.iter().sum::<usize>();
    let top = round_up(columns.iter().map(total).max().unwrap_or(0) as f64);
    let severities: Vec<_> = Severity::ALL
        .iter()
        .map(|severity| (severity_class(*severity), severity.as_str()))
        .collect();
    let body = html! {
        figure {
            svg.plot height=(ABOVE + HEIGHT + AXIS_HEIGHT) role="img" aria-label=(counted(report.incidents, "incident")) {
                svg y=(ABOVE) {
                    (level(0.0, &count(top as usize)))
                    (time_axis(&axis, HEIGHT))
                    @for (place, column) in columns.iter().enumerate().filter(|(_, c)| total(c) > 0) {
                        g { title { (column_text(first, last, place, column)) } (stack(place, column, top)) }
                    }
                }
            }
        }
        (legend(&severities))
    };
    page::section(
        "Incidents over time",
        "Incidents opened over time, by the highest severity they reached. False alerts \
         cluster at the beginning, while little is known of each key, and where all keys change at \
         once.",
        &body,
    )
}

fn columns(axis: &TimeAxis, incidents: &[IncidentTime]) -> Vec<Column> {
    let mut columns = vec![Column::default(); COLUMNS];
    for incident in incidents {
        let place = (axis.at(incident.opened).clamp(0.0, 1.0) * COLUMNS as f64) as usize;
        let severity = Severity::ALL.iter().position(|severity| *severity == incident.severity);
        columns[place.min(COLUMNS - 1)][severity.unwrap_or(0)] += 1;
    }
    columns
}

fn column_text(first: EventTime, last: EventTime, place: usize, column: &Column) -> String {
    let seconds = last.seconds_since(first) * place as f64 / COLUMNS as f64;
    let counts = Severity::ALL.iter().zip(column).rev().filter(|(_, count)| **count > 0);
    let counts: Vec<String> =
        counts.map(|(severity, n)| format!("{} {severity}", count(*n))).collect();
    format!("from {}: {}", time_text(first.plus_seconds(seconds)), counts.join(", "))
}

/// The highest severity is drawn at the bottom, where lengths are easiest to compare.
fn stack(place: usize, column: &Column, top: f64) -> Markup {
    let mut below = 0;
    let parts: Vec<_> = Severity::ALL
        .iter()
        .zip(column)
        .rev()
        .filter(|(_, count)| **count > 0)
        .map(|(severity, count)| {
            below += count;
            let y = HEIGHT * (1.0 - below as f64 / top);
            (severity_class(*severity), y, HEIGHT * *count as f64 / top)
        })
        .collect();
    let x = percent(place as f64 / COLUMNS as f64);
    let width = percent(0.82 / COLUMNS as f64);
    html! {
        @for (class, y, height) in parts {
            rect class=(class) x=(x) width=(width) y=(format!("{y:.1}")) height=(format!("{height:.1}")) {}
        }
    }
}

pub fn by_detector(report: &Report) -> Markup {
    let total = |figures: &DetectorFigures| figures.true_incidents + figures.false_incidents;
    let Some(most) = report.detectors.iter().map(total).max() else { return html! {} };
    let labelled = report.labels > 0;
    let explanation = if labelled {
        "The detector whose sign opened each incident, and whether a known attack explains it."
    } else {
        "The detector whose sign opened each incident."
    };
    let body = html! {
        table {
            thead { tr { th { "Detector" } th style="width:55%" { "Incidents opened" } th { @if labelled { "True, false" } } } }
            tbody {
                @for figures in &report.detectors {
                    tr {
                        th { code { (name(figures.detector.as_str())) } }
                        td { (split_bar(figures, most, labelled)) }
                        td { @if labelled { (count(figures.true_incidents)) ", " (count(figures.false_incidents)) } @else { (count(total(figures))) } }
                    }
                }
            }
        }
        @if labelled { (legend(&[("true", "during a known attack on the key"), ("false", "no known attack")])) }
    };
    page::section("Detectors that opened incidents", explanation, &body)
}

fn split_bar(figures: &DetectorFigures, most: usize, labelled: bool) -> Markup {
    let share = |part: usize| part as f64 / most.max(1) as f64;
    let (good, bad) = (share(figures.true_incidents), share(figures.false_incidents));
    html! {
        svg width="100%" height="14" aria-hidden="true" {
            rect.true width=(percent(good)) height="14" rx="2" {}
            rect class=(if labelled { "false" } else { "plain" }) x=(percent(good)) width=(percent(bad)) height="14" rx="2" {}
        }
    }
}
