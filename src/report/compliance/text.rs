//! Renders a compliance report for a terminal.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::{Compliance, Section, Value};
use crate::text::visible_within;

/// Longer values are cut in the table.
const LONGEST_CELL: usize = 80;

pub fn render(report: &Compliance) -> String {
    let mut text = format!("{:.19}Z to {:.19}Z\n", report.from.to_string(), report.to.to_string());
    for section in &report.sections {
        text += &format!("\n{}\n{}", section.title, table(section));
    }
    if let Some(head) = &report.audit_head {
        text += &format!("\nAudit log: {head}\n");
    }
    text
}

fn table(section: &Section) -> String {
    let rows: Vec<_> = section.rows().collect();
    if rows.is_empty() {
        return "  none\n".to_owned();
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(section.columns().iter().map(|name| name.replace('_', " ")))
        .add_rows(
            rows.iter().map(|row| {
                row.iter().map(|(_, value)| visible_within(&value.shown(), LONGEST_CELL))
            }),
        );
    for (place, (_, value)) in rows[0].iter().enumerate() {
        if !matches!(value, Value::Text(_))
            && let Some(column) = table.column_mut(place)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
}
