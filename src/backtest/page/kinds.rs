//! Recall and time to detect, by kind of attack.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::super::report::{AtSeverity, KindFigures, Quantiles, Report};
use super::draw::{anchor, badge, bar, figure_cell, name};
use super::scale::{count, duration_text, number, percent};
use super::summary::at_medium;

/// Nothing without labels.
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
    super::section(
        "Attacks found, by kind",
        "Of the known attacks of each kind, how many an alert of this severity or above named; the \
         least found come first.",
        &body,
    )
}

fn worst_first<'a>(report: &'a Report, lowest: &'a AtSeverity) -> Vec<&'a str> {
    let recalls = |kind: &str| -> Vec<f64> {
        let recall = |at: &AtSeverity| at.kinds.get(kind).map_or(0.0, |figures| figures.recall);
        // Medium first: below it nobody need look.
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

/// Nothing without attacks found.
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
    super::section(
        "Time to detect, by kind",
        "From the attack's first moment to the first alert of medium severity or above that names \
         it, in time and in requests that the key had made: the dot is the middle attack, the ring \
         the slowest. Each step of the scale is ten times the one before. Missed attacks are not in \
         it.",
        &body,
    )
}

/// A scale on which each decade is as wide as the next.
struct Ladder {
    lowest: i32,
    highest: i32,
}

impl Ladder {
    /// From the decade of the least to that of the most; `None` of nothing.
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
        // Rings at the ends stay inside.
        let share = (value.max(1e-9).log10() - f64::from(self.lowest)) / decades;
        0.02 + 0.96 * share.clamp(0.0, 1.0)
    }

    fn header(&self, text: impl Fn(f64) -> String) -> Markup {
        // Four labels at most: more run into each other.
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
