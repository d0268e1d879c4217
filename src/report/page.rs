//! Renders a report as one HTML page, like that of a backtest.

use maud::{Markup, html};

use super::text::{DRIFTED, verdict};
use super::{Promise, Report};
use crate::detect::outlier::drift::FeatureDrift;
use crate::page::draw::bar;
use crate::page::scale::{number, share_text, volume_text};
use crate::page::{card, page, section};

/// The stability index at which a bar is full.
const FULL_BAR: f64 = 2.0 * DRIFTED;

/// The same report gives the same bytes.
pub fn render(report: &Report) -> String {
    let drifted = report.drifted();
    let headline = format!("{} incidents, {drifted} features drifted", report.incidents);
    let body = html! {
        (head(report, drifted)) (promises(report)) (confidence(report)) (features(report))
    };
    page("report", &headline, &body)
}

fn head(report: &Report, drifted: usize) -> Markup {
    let bounds = Some((report.from, report.until));
    html! {
        header {
            h1 { "Keywatch report" }
            p.faint { (volume_text(report.events, report.keys, bounds)) }
        }
        dl.cards {
            @for (severity, count) in report.incidents_by_severity.iter().rev() {
                (card(&format!("Incidents, {severity}"), &count.to_string(), "opened in this time"))
            }
            @if report.quarantined > 0 {
                (card("Events left out", &report.quarantined.to_string(), "their time could not be trusted"))
            }
            (card("Features drifted", &drifted.to_string(), &format!("since {} was trained", report.model)))
        }
    }
}

fn promises(report: &Report) -> Markup {
    let largest = |promise: &Promise| promise.promised.max(promise.incidents as f64);
    let top = report.promises.iter().map(largest).fold(1e-9, f64::max);
    let body = html! {
        table {
            thead { tr {
                th { "Detectors" } th { "False alerts promised" } th { "Incidents" }
                th { "Tail promised" } th { "Tail measured" }
            } }
            tbody { @for promise in &report.promises { tr {
                th { (promise.family) }
                td { (bar(promise.promised / top, "plain", "promised")) (number(promise.promised)) }
                td { (bar(promise.incidents as f64 / top, "true", "incidents")) (promise.incidents) }
                td { (share_text(promise.tail_promised)) }
                td { (share_text(promise.tail_measured)) }
            } } }
        }
    };
    section(
        "Promised and measured",
        "Not every incident is a false alert, so their number bounds the false ones from above. A \
         tail is the share of key-hours with the highest scores; if more is measured than the \
         model promises, its p-values are raised to the measured share.",
        &body,
    )
}

fn confidence(report: &Report) -> Markup {
    let percent = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), share_text);
    let body = html! {
        table {
            thead { tr {
                th { "Confidence" } th { "Incidents" } th { "Confirmed" } th { "Dismissed" }
                th { "Said" } th { "Found" }
            } }
            tbody { @for it in &report.confidence { tr {
                th { (format!("{:.1} to {:.1}", it.from, it.from + 0.1)) }
                td { (it.incidents) } td { (it.confirmed) } td { (it.dismissed) }
                td { (percent(it.said)) } td { (percent(it.measured)) }
            } } }
        }
        table {
            thead { tr {
                th { "Strongest sign" } th { "Incidents" } th { "Confirmed" } th { "Dismissed" }
                th { "Assumed" } th { "Found" }
            } }
            tbody { @for it in &report.outcomes { tr {
                th { (it.detector) }
                td { (it.incidents) } td { (it.confirmed) } td { (it.dismissed) }
                td { (percent(it.assumed)) } td { (percent(it.measured)) }
            } } }
        }
    };
    section(
        "Confidence and what people found",
        "Confidence is honest if the share that people confirmed is what was said. Tests, duplicates \
         and incidents that nobody closed are not counted.",
        &body,
    )
}

fn features(report: &Report) -> Markup {
    let row = |feature: &FeatureDrift| {
        let index = feature.stability_index;
        let class = if index >= DRIFTED { "false" } else { "plain" };
        html! { tr {
            th { (feature.words) }
            td { (if feature.against == "own" { "its past" } else { "other keys" }) }
            td { (feature.windows) }
            td { (bar((index / FULL_BAR).min(1.0), class, "stability index")) (format!("{index:.3}")) }
            td { (verdict(index)) }
        } }
    };
    let body = html! {
        table {
            thead { tr {
                th { "Feature" } th { "Held against" } th { "Windows" } th { "Stability index" } th {}
            } }
            tbody { @for feature in &report.features { (row(feature)) } }
        }
    };
    section(
        "Drift of the features",
        "The population stability index compares hours of keys with those that the model was \
         trained with: below 0.1 little has changed, above 0.25 much has, and it is time to train \
         again.",
        &body,
    )
}
