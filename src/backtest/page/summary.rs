//! Summarizes the run in the few lines that a hurried reader needs.

use maud::{Markup, html};

use super::super::cases::MISSED_BELOW;
use super::super::figures::{AtSeverity, Report};
use crate::page::card;
use crate::page::scale::{count, counted, duration_text, number, share_text, volume_text};

/// One line, for the page's title and the browser tab.
pub fn headline(report: &Report) -> String {
    match at_medium(report).filter(|at| at.labels > 0) {
        Some(at) => format!("{} of {} attacks found", count(at.found), count(at.labels)),
        None => counted(report.incidents, "incident"),
    }
}

pub fn head(report: &Report) -> Markup {
    html! {
        header {
            h1 { "Keywatch backtest: " (headline(report)) }
            p.faint { (span(report)) }
        }
        dl.cards { @for card in cards(report) { (card) } }
        @if report.labels == 0 {
            p.faint style="margin-top:.75rem" {
                "No known attacks were given, so nothing here says which incidents are true. With " code { "--labels" } " the report measures what was found, how fast, and what was false."
            }
        }
    }
}

/// The figures of medium severity and above, which sum up the run.
pub fn at_medium(report: &Report) -> Option<&AtSeverity> {
    report.at_severity.iter().find(|at| at.severity == MISSED_BELOW)
}

fn span(report: &Report) -> String {
    let volume = &report.volume;
    let bounds = report.first_event_time.zip(report.last_event_time);
    let mut text = volume_text(volume.events, volume.keys, bounds);
    for (number, what) in [(volume.rejections, "unreadable"), (volume.redelivered, "read twice")] {
        if number > 0 {
            text += &format!(" {} {what}.", counted(number as usize, "record"));
        }
    }
    text
}

fn cards(report: &Report) -> Vec<Markup> {
    let Some(at) = at_medium(report) else { return Vec::new() };
    let key_days = report.volume.keys as f64 * report.volume.days;
    let over = format!("over {} key-days, medium and above", number(key_days));
    let rate = number(at.false_alerts_per_1000_key_days);
    if report.labels == 0 {
        let severe = at.true_incidents + at.false_incidents;
        return vec![
            card("Incidents", &count(report.incidents), "of any severity"),
            card("Medium and above", &count(severe), "worth an analyst's look"),
            card("Incidents per 1,000 key-days", &rate, &over),
            card("Keys", &count(report.volume.keys), "with requests that were answered"),
        ];
    }
    let found = format!("{} of {}, medium and above", count(at.found), count(at.labels));
    let precision = at.precision.map_or_else(|| "none".to_owned(), share_text);
    let incidents = at.true_incidents + at.false_incidents;
    let true_ones =
        format!("{} of {} are true", count(at.true_incidents), counted(incidents, "incident"));
    let (middle, slowest) = delays(at);
    vec![
        card("Attacks found", &at.recall.map_or_else(String::new, share_text), &found),
        card("False alerts per 1,000 key-days", &rate, &over),
        card("Precision", &precision, &true_ones),
        card("Time to detect", &middle, &slowest),
    ]
}

/// The median of the kinds' median delays, and the longest delay of all.
fn delays(at: &AtSeverity) -> (String, String) {
    let seconds = at.kinds.values().filter_map(|kind| kind.seconds_to_detect);
    let mut medians: Vec<f64> = seconds.clone().map(|quantiles| quantiles.median).collect();
    medians.sort_by(f64::total_cmp);
    let longest = seconds.map(|quantiles| quantiles.max).fold(0.0, f64::max);
    match medians.get(medians.len() / 2) {
        Some(middle) => (
            duration_text(*middle),
            format!("for the median kind of attack; at worst {}", duration_text(longest)),
        ),
        None => ("none".to_owned(), "no attack was found".to_owned()),
    }
}
