//! Shows recall and time to detect by kind of attack.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::super::figures::{AtSeverity, KindFigures, Quantiles, Report};
use super::summary::at_medium;
use crate::page;
use crate::page::draw::{anchor, badge, bar, figure_cell, name};
use crate::page::scale::{count, duration_text, number, percent};

/// Renders recall; empty without labels.
pub fn recall(report: &Report) -> Markup {
    let Some(lowest) = report.at_severity.first().filter(|at| at.labels > 0) else {
        return html! {};
    };
    let body = html! {
        table {
            thead { tr { th { "Kind of attack" } @for at in &report.at_severity { th { (badge(at.severity)) } } } }
            tbody {
                @for kind in worst_first(report, lowest) {
                    tr { th { (name(kind)) } @for at in &report.at_severity { (recall_cell(at.kinds.get(kind))) } }
                }
            }
        }
    };
    page::section(
        "Attacks found, by kind",
        "For each kind, the number of known attacks that an alert of this severity or above named; \
         kinds that were found least often come first.",
        &body,
    )
}

fn worst_first<'a>(report: &'a Report, lowest: &'a AtSeverity) -> Vec<&'a str> {
    let recalls = |kind: &str| -> Vec<f64> {
        let recall = |at: &AtSeverity| at.kinds.get(kind).map_or(0.0, |figures| figures.recall);
        // Medium comes first: alerts below it need no one's attention.
        let order = [1, 0, 2, 3];
        order.iter().filter_map(|place| report.at_severity.get(*place)).map(recall).collect()
    };
    let mut kinds: Vec<&str> = lowest.kinds.keys().map(String::as_str).collect();
    kinds.sort_by(|a, b| {
        recalls(a).partial_cmp(&recalls(b)).unwrap_or(std::cmp::Ordering::Equal).then(a.cmp(b))
    });
    kinds
}

fn recall_cell(figures: Option<&KindFigures>) -> Markup {
    let Some(figures) = figures else { return html! { td {} } };
    let text = format!("{} of {}", count(figures.found), count(figures.labels));
    figure_cell(bar(figures.recall, "found", &text), &text)
}

/// Renders time to detect; empty if no attack was found.
pub fn time_to_detect(report: &Report) -> Markup {
    let Some(at) = at_medium(report) else { return html! {} };
    let (seconds, requests) = (
        Ladder::of(&at.kinds, |k| k.seconds_to_detect),
        Ladder::of(&at.kinds, |k| k.requests_to_detect),
    );
    let Some(seconds) = seconds else { return html! {} };
    let mut kinds: Vec<_> =
        at.kinds.iter().filter(|(_, k)| k.seconds_to_detect.is_some()).collect();
    let median = |kind: &KindFigures| kind.seconds_to_detect.map_or(0.0, |q| q.median);
    kinds.sort_by(|a, b| median(b.1).total_cmp(&median(a.1)).then(a.0.cmp(b.0)));
    let body = html! {
        table.strips {
            thead { tr {
                th { "Kind of attack" }
                th style="width:38%" { "Time" (seconds.header(duration_text)) }
                th style="width:38%" { "Requests" @if let Some(ladder) = &requests { (ladder.header(number)) } }
            } }
            tbody {
                @for (kind, figures) in kinds {
                    tr {
                        th { (name(kind)) }
                        @if let Some(quantiles) = figures.seconds_to_detect { (seconds.strip(quantiles, duration_text)) }
                        @if let (Some(quantiles), Some(ladder)) = (figures.requests_to_detect, &requests) { (ladder.strip(quantiles, number)) } @else { td {} }
                    }
                }
            }
        }
    };
    page::section(
        "Time to detect, by kind",
        "From the attack's first moment to the first alert of medium severity or above that names \
         it, in time and in requests that the key had made: the dot is the median attack, the ring \
         the slowest. Each step of the scale is ten times the one before. Missed attacks are not in \
         it.",
        &body,
    )
}

/// A logarithmic scale: every decade has the same width.
struct Ladder {
    lowest: i32,
    highest: i32,
}

impl Ladder {
    /// A scale from the decade of the least value to that of the greatest; `None` without values.
    fn of(
        kinds: &BTreeMap<String, KindFigures>,
        quantiles: impl Fn(&KindFigures) -> Option<Quantiles>,
    ) -> Option<Self> {
        let all: Vec<Quantiles> = kinds.values().filter_map(quantiles).collect();
        let decade = |value: f64| value.max(0.1).log10();
        let lowest = all.iter().map(|q| decade(q.median)).reduce(f64::min)?.floor() as i32;
        let highest = all.iter().map(|q| decade(q.max)).reduce(f64::max)?.ceil() as i32;
        Some(Self { lowest, highest: highest.max(lowest + 1) })
    }

    fn at(&self, value: f64) -> f64 {
        let decades = f64::from(self.highest - self.lowest);
        // The clamp keeps the circles at the ends inside the plot.
        let share = (value.max(1e-9).log10() - f64::from(self.lowest)) / decades;
        0.02 + 0.96 * share.clamp(0.0, 1.0)
    }

    fn header(&self, text: impl Fn(f64) -> String) -> Markup {
        // Four labels at most: more would overlap.
        let every = (self.highest - self.lowest + 2) / 3;
        let decades = (self.lowest..=self.highest).step_by(every.max(1) as usize);
        html! {
            div.figure {
                svg height="16" aria-hidden="true" { @for value in decades.map(|decade| 10f64.powi(decade)) {
                    text.tick x=(percent(self.at(value))) y="12" text-anchor=(anchor(self.at(value))) { (text(value)) }
                } }
                span {}
            }
        }
    }

    fn strip(&self, quantiles: Quantiles, text: impl Fn(f64) -> String) -> Markup {
        let (median, worst) = (percent(self.at(quantiles.median)), percent(self.at(quantiles.max)));
        let words = if quantiles.median == quantiles.max {
            text(quantiles.median)
        } else {
            format!("{}, at worst {}", text(quantiles.median), text(quantiles.max))
        };
        let strip = html! {
            svg height="14" role="img" aria-label=(words) {
                title { (words) }
                @for decade in self.lowest..=self.highest {
                    line.grid x1=(percent(self.at(10f64.powi(decade)))) x2=(percent(self.at(10f64.powi(decade)))) y1="0" y2="14" {}
                }
                line.range x1=(median) x2=(worst) y1="7" y2="7" {}
                circle.worst cx=(worst) cy="7" r="4" {}
                circle.point cx=(median) cy="7" r="4" {}
            }
        };
        figure_cell(strip, &words)
    }
}
