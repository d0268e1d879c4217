//! Formats tables for the terminal.

use std::io::{self, IsTerminal};

use anstyle::Style;
use comfy_table::{CellAlignment, ContentArrangement, Table as TextTable, presets};

use crate::store::Table;

/// Wider lines are hard to follow; without a terminal there is no other limit.
const WIDEST: u16 = 160;

/// A heading, bold on a terminal.
pub(super) fn heading(text: &str) -> String {
    let bold = Style::new().bold();
    format!("\n{bold}{text}{bold:#}")
}

/// A table of two columns without a header.
pub(super) fn facts(rows: impl Iterator<Item = (&'static str, String)>) -> String {
    let mut table = plain();
    table.add_rows(rows.map(|(name, value)| vec![name.to_owned(), value]));
    indented(&table)
}

/// A table in which all columns after the first `text` ones hold numbers.
pub(super) fn columns(header: &[&str], rows: Vec<Vec<String>>, text: usize) -> String {
    let mut table = plain();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header(header.to_vec()).add_rows(rows);
    for column in table.column_iter_mut().skip(text) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    indented(&table)
}

/// The answer to an analyst's query, without the columns `left_out`.
pub(super) fn answer(answer: &Table, left_out: &[&str]) -> String {
    if answer.rows.is_empty() {
        return "  (no rows)".into();
    }
    let shown = |row: &[String]| -> Vec<String> {
        let cells = answer.columns.iter().zip(row);
        cells
            .filter(|(column, _)| !left_out.contains(&column.as_str()))
            .map(|(_, cell)| cell.clone())
            .collect()
    };
    let mut table = plain();
    table
        .load_style(presets::UTF8_BORDERS_ONLY)
        .set_header(shown(&answer.columns))
        .add_rows(answer.rows.iter().map(|row| shown(row)));
    indented(&table)
}

fn plain() -> TextTable {
    let mut table = TextTable::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    // A terminal that does not know its size says 0.
    let is_known = |width: &u16| *width > 0 && io::stdout().is_terminal();
    let width = table.width().filter(is_known).unwrap_or(WIDEST);
    table.set_width(width.clamp(60, WIDEST) - 2);
    table
}

fn indented(table: &TextTable) -> String {
    table.lines().map(|line| format!("  {}", line.trim_end())).collect::<Vec<_>>().join("\n")
}
