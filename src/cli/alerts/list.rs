//! `keywatch alerts list`.

use comfy_table::CellAlignment;
use serde_json::json;

use super::filter::{Filter, Row};
use super::print;
use crate::cli::{CommandError, listing};
use crate::store::Store;
use crate::text::{visible, visible_json, visible_within};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Print at most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// Longer ids and titles are cut in the table; `show` and `--json` have the whole.
const LONGEST_CELL: usize = 120;

/// The tab-separated form. Scripts rely on the order: further columns come last.
const COLUMNS: [&str; 12] = [
    "id",
    "about",
    "severity",
    "risk",
    "action",
    "detectors",
    "title",
    "last_event_time",
    "state",
    "close_reason",
    "assignee",
    "waits_for",
];

pub async fn run(args: &Args, store: &Store) -> Result<(), CommandError> {
    let rows = args.filter.load(store, args.limit).await.map_err(anyhow::Error::from)?;
    print(&if args.json {
        rows.iter().map(|row| visible_json(&as_json(row).to_string()) + "\n").collect()
    } else {
        listing::rows(|width| table(&rows, width), COLUMNS, rows.iter().map(cells))
    })?;
    listing::tell_of_more(rows.len(), rows.first().map_or(0, |row| row.matching), "incidents");
    Ok(())
}

fn as_json(row: &Row) -> serde_json::Value {
    let named = |text: &String| (!text.is_empty()).then(|| text.clone());
    let detectors: Vec<&str> = row.detectors.split(", ").filter(|name| !name.is_empty()).collect();
    json!({
        "id": row.id, "about": row.about, "severity": row.severity, "risk": row.risk,
        "action": row.action, "detectors": detectors, "title": row.title,
        "last_event_time": row.last_event_time.replace(' ', "T") + "Z", "state": row.state,
        "close_reason": named(&row.close_reason), "assignee": named(&row.assignee),
        "waits_for": named(&row.waits_for),
    })
}

fn cells(row: &Row) -> [String; 12] {
    [
        visible(&row.id),
        visible(&row.about),
        row.severity.clone(),
        row.risk.to_string(),
        row.action.clone(),
        row.detectors.clone(),
        visible(&row.title),
        row.last_event_time.clone(),
        row.state.clone(),
        row.close_reason.clone(),
        visible(&row.assignee),
        row.waits_for.clone(),
    ]
}

/// A table of at most `width` columns.
fn table(rows: &[Row], width: u16) -> String {
    if rows.is_empty() {
        return "No incident matches.\n".to_owned();
    }
    let header = ["severity", "risk", "state", "incident", "last seen"];
    // Words that are compared down the column stay whole; the incident takes what is left.
    let widest = [(0, 10), (1, 6), (2, 22), (4, 18)];
    let mut table = listing::table(header, rows.iter().map(line), &widest, width);
    if let Some(risk) = table.column_mut(1) {
        risk.set_cell_alignment(CellAlignment::Right);
    }
    listing::text_of(&table)
}

/// The incident in five cells.
fn line(row: &Row) -> [String; 5] {
    let state = match (row.close_reason.as_str(), row.assignee.as_str()) {
        ("", "") => row.state.clone(),
        ("", assignee) => format!("{}\n{}", row.state, visible_within(assignee, 20)),
        (reason, _) => format!("{}\n{reason}", row.state),
    };
    let state = match row.waits_for.as_str() {
        "" => state,
        waits_for => format!("{state}\n{waits_for}"),
    };
    let title = visible_within(&row.title, LONGEST_CELL);
    let incident = format!("{title}\n{}", visible_within(&row.id, LONGEST_CELL));
    let seen = row.last_event_time.get(..16).unwrap_or(&row.last_event_time);
    [row.severity.clone(), format!("{:.0}", row.risk), state, incident, seen.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(about: &str) -> Row {
        Row {
            id: "inc_9c0f6a1b2d3e4f5061728394".into(),
            about: about.into(),
            severity: "critical".into(),
            risk: 91.3,
            action: "suspend".into(),
            detectors: "geo.impossible_travel, rate.spike".into(),
            title: format!("Key {about}: requests from two places 8,900 km apart"),
            last_event_time: "2026-03-14 02:51:07.518000".into(),
            state: "acknowledged".into(),
            close_reason: String::new(),
            assignee: "alice".into(),
            waits_for: "approval_pending".into(),
            matching: 1,
        }
    }

    /// The number of columns that a terminal gives a text without wide characters.
    fn width(line: &str) -> usize {
        line.chars().count()
    }

    #[test]
    fn the_table_fits_the_terminal_whatever_the_values_are() {
        let rows = [row("ak_123"), row(&"x".repeat(5_000)), row("a\u{202e}b\u{200b}\n\t\u{1b}[2J")];
        for columns in [60, 80, 100, 200] {
            let table = table(&rows, columns);
            for line in table.lines() {
                assert!(width(line) <= usize::from(columns), "{columns}:\n{table}");
            }
            for hidden in ['\u{202e}', '\u{200b}', '\t', '\u{1b}'] {
                assert!(!table.contains(hidden), "{hidden:?}");
            }
        }
        let wide = table(&rows[..1], 120);
        for word in [
            "critical",
            "91",
            "acknowledged",
            "alice",
            "approval_pending",
            "inc_9c0f6a1b2d3e4f5061728394",
        ] {
            assert!(wide.contains(word), "no {word} in\n{wide}");
        }
    }

    #[test]
    fn a_line_of_the_piped_form_is_one_line_whatever_the_values_are() {
        let text = listing::tab_separated(COLUMNS, [row("a\n\tb")].iter().map(cells));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(lines[1].split('\t').count(), COLUMNS.len());
        assert!(lines[1].contains("\ta⟨U+000A⟩⟨U+0009⟩b\t"), "{text}");
    }

    #[test]
    fn json_names_what_is_unknown_as_null() {
        let json = as_json(&row("ak"));
        assert_eq!(json["close_reason"], serde_json::Value::Null);
        assert_eq!(json["assignee"], "alice");
        assert_eq!(json["detectors"], serde_json::json!(["geo.impossible_travel", "rate.spike"]));
        assert_eq!(json["last_event_time"], "2026-03-14T02:51:07.518000Z");
    }
}
