//! Shows the trade-off between severities: lower ones find more attacks and give more false alerts.

use maud::{Markup, html};

use super::super::figures::{AtSeverity, Report};
use crate::page;
use crate::page::draw::{badge, bar, figure_cell, round_up};
use crate::page::scale::{count, number, share_text};

pub fn section(report: &Report) -> Markup {
    let top = report.at_severity.iter().map(|at| at.false_alerts_per_1000_key_days);
    let top = round_up(top.fold(0.0, f64::max));
    let (heading, explanation) = if report.labels > 0 {
        (
            "At each severity",
            "If only alerts of this severity and above were looked at: the share of the known \
             attacks found, the share of incidents that are true, and how many incidents are false \
             for every thousand keys watched for a day.",
        )
    } else {
        (
            "At each severity",
            "If only alerts of this severity and above were looked at: how many incidents there \
             would be, and how many for every thousand keys watched for a day.",
        )
    };
    let body = html! {
        table.severities {
            thead { tr {
                th { "Severity" }
                @if report.labels > 0 { th { "Attacks found (recall)" } th { "True incidents (precision)" } th { "False per 1,000 key-days" } }
                @else { th { "Incidents" } th { "Per 1,000 key-days" } }
            } }
            tbody { @for at in &report.at_severity { (row(report, at, top)) } }
        }
    };
    page::section(heading, explanation, &body)
}

fn row(report: &Report, at: &AtSeverity, top: f64) -> Markup {
    let incidents = at.true_incidents + at.false_incidents;
    let rate = at.false_alerts_per_1000_key_days;
    html! {
        tr {
            th { (badge(at.severity)) " and above" }
            @if report.labels > 0 {
                (cell(at.recall.unwrap_or(0.0), "found", &format!("{} of {} ({})", count(at.found), count(at.labels), share_text(at.recall.unwrap_or(0.0)))))
                @match at.precision {
                    Some(precision) => (cell(precision, "true", &format!("{} of {} ({})", count(at.true_incidents), count(incidents), share_text(precision)))),
                    None => td { "no incidents" },
                }
                (cell(rate / top, "false", &format!("{} ({} false)", number(rate), count(at.false_incidents))))
            } @else {
                (cell(incidents as f64 / report.incidents.max(1) as f64, "plain", &count(incidents)))
                (cell(rate / top, "plain", &number(rate)))
            }
        }
    }
}

fn cell(share: f64, class: &str, text: &str) -> Markup {
    figure_cell(bar(share, class, text), text)
}
