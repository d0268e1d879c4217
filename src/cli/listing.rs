//! Prints rows: a table on a terminal, else tab-separated lines.

use std::io::{self, IsTerminal};

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};

use crate::text::count;

/// A table for the terminal, or lines for scripts, which rely on the order of the columns.
pub fn rows<const N: usize>(
    table: impl FnOnce(u16) -> String,
    columns: [&str; N],
    lines: impl Iterator<Item = [String; N]>,
) -> String {
    if io::stdout().is_terminal() {
        table(Table::new().width().unwrap_or(80))
    } else {
        tab_separated(columns, lines)
    }
}

pub fn tab_separated<const N: usize>(
    columns: [&str; N],
    lines: impl Iterator<Item = [String; N]>,
) -> String {
    let header = columns.join("\t") + "\n";
    lines.fold(header, |text, line| text + &line.join("\t") + "\n")
}

/// A table of at most `width` columns, without lines between them. `widest` bounds columns whose
/// words are compared down the column.
pub fn table<const N: usize>(
    header: [&str; N],
    lines: impl Iterator<Item = [String; N]>,
    widest: &[(usize, u16)],
    width: u16,
) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        .set_header(header)
        .add_rows(lines);
    for (column, widest) in widest {
        if let Some(column) = table.column_mut(*column) {
            column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(*widest)));
        }
    }
    table
}

/// The lines of a table, without spaces at their ends.
pub fn text_of(table: &Table) -> String {
    table.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

/// Says that there are more rows than the limit lets through.
pub fn tell_of_more(shown: usize, matching: u64, what: &str) {
    let matching = matching as usize;
    if matching > shown {
        let (shown, all) = (count(shown), count(matching));
        anstream::eprintln!("{shown} of {all} {what} are shown; --limit shows more");
    }
}
