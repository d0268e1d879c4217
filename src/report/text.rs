//! Renders a report for the terminal.

use comfy_table::{CellAlignment, Table, presets};

use super::Report;
use crate::text::visible;

/// Stability index from which a feature has moved, and from which it has drifted (Siddiqi 2006).
const MOVED: f64 = 0.1;
pub const DRIFTED: f64 = 0.25;

pub fn render(report: &Report) -> String {
    let mut lines = vec![headline(report), String::new(), promises(report), String::new()];
    if report.features.is_empty() {
        lines.push("No key has completed a window yet, so drift is unknown.".to_owned());
    } else {
        lines.push(features(report));
        lines.push(String::new());
        lines.push(advice(report));
    }
    if !report.confidence.is_empty() {
        lines.extend([String::new(), confidence(report), String::new(), outcomes(report)]);
    }
    lines.join("\n")
}

/// Confidence is honest if what was said is what people found.
fn confidence(report: &Report) -> String {
    let header = ["confidence", "incidents", "confirmed", "dismissed", "said", "found"];
    let rows = report.confidence.iter().map(|it| {
        [
            format!("{:.1} to {:.1}", it.from, it.from + 0.1),
            it.incidents.to_string(),
            it.confirmed.to_string(),
            it.dismissed.to_string(),
            percent(it.said),
            percent(it.measured),
        ]
    });
    table(header, rows)
}

fn outcomes(report: &Report) -> String {
    let header = ["strongest sign", "incidents", "confirmed", "dismissed", "assumed", "found"];
    let rows = report.outcomes.iter().map(|it| {
        [
            visible(&it.detector),
            it.incidents.to_string(),
            it.confirmed.to_string(),
            it.dismissed.to_string(),
            percent(it.assumed),
            percent(it.measured),
        ]
    });
    table(header, rows)
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", 100.0 * share))
}

fn headline(report: &Report) -> String {
    let by_severity = report.incidents_by_severity.iter().rev();
    let by_severity: Vec<String> =
        by_severity.map(|(severity, count)| format!("{count} {severity}")).collect();
    let by_severity = match by_severity.as_slice() {
        [] => String::new(),
        counts => format!(" ({})", counts.join(", ")),
    };
    let left_out = match report.quarantined {
        0 => String::new(),
        count => format!(" ({count} left out: their time could not be trusted)"),
    };
    format!(
        "{:.19}Z to {:.19}Z: {} events{left_out} of {} keys, {} incidents opened{by_severity}",
        report.from.to_string(),
        report.until.to_string(),
        report.events,
        report.keys,
        report.incidents
    )
}

fn promises(report: &Report) -> String {
    let header =
        ["detectors", "false alerts promised", "incidents", "tail promised", "tail measured"];
    let rows = report.promises.iter().map(|promise| {
        [
            promise.family.to_owned(),
            format!("{:.2}", promise.promised),
            promise.incidents.to_string(),
            format!("{:.2} %", 100.0 * promise.tail_promised),
            format!("{:.2} %", 100.0 * promise.tail_measured),
        ]
    });
    table(header, rows)
}

fn features(report: &Report) -> String {
    let header = ["feature", "compared with", "windows", "stability index", ""];
    let rows = report.features.iter().map(|feature| {
        let against = if feature.against == "own" { "its past" } else { "other keys" };
        [
            feature.words.to_owned(),
            against.to_owned(),
            feature.windows.to_string(),
            format!("{:.3}", feature.stability_index),
            verdict(feature.stability_index).to_owned(),
        ]
    });
    table(header, rows)
}

pub fn verdict(stability_index: f64) -> &'static str {
    match stability_index {
        DRIFTED.. => "drifted",
        MOVED.. => "moved",
        _ => "",
    }
}

fn advice(report: &Report) -> String {
    let model = &report.model;
    match report.drifted() {
        0 => format!("Windows are still like those that {model} was trained with."),
        count => format!(
            "{count} of {} features have drifted since {model} was trained: train it again \
             with `keywatch train --clickhouse`.",
            report.features.len()
        ),
    }
}

/// A table whose columns of numbers are right-aligned: all but the first and the textual ones.
fn table<const N: usize>(header: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    let rows: Vec<[String; N]> = rows.collect();
    for column in 1..N {
        let is_number = |row: &[String; N]| row[column].starts_with(|c: char| c.is_ascii_digit());
        if rows.iter().all(is_number)
            && let Some(column) = table.column_mut(column)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.add_rows(rows);
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
