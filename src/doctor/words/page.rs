//! The lines of a page: headings, paragraphs, tables.

use anstyle::Style;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};

use crate::text;

/// A text of limited width that grows line by line.
pub(super) struct Page {
    text: String,
    pub width: usize,
}

impl Page {
    pub fn new(width: usize) -> Self {
        Self { text: String::new(), width: width.clamp(80, 120) }
    }

    pub fn into_text(self) -> String {
        self.text
    }

    pub fn heading(&mut self, text: &str) {
        let bold = Style::new().bold().underline();
        self.line(&format!("\n{bold}{text}{bold:#}"));
    }

    pub fn paragraph(&mut self, text: &str, margin: usize) {
        for line in wrapped(text, self.width - margin) {
            self.line(&format!("{:margin$}{line}", ""));
        }
    }

    pub fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    pub fn table(&self, header: [&str; 4]) -> Table {
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_BORDERS_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width((self.width - 2) as u16)
            .set_header(header.to_vec());
        table
    }

    pub fn put(&mut self, mut table: Table, numbers: &[usize]) {
        for column in numbers {
            if let Some(column) = table.column_mut(*column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        // Names are not broken; the sentences in the last column are.
        for column in table.column_iter_mut().take(3) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        for line in table.lines() {
            self.line(&format!("  {line}"));
        }
    }
}

/// Replaces characters that would change how the rest of a line is shown.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if text::is_deceptive(c) { '\u{fffd}' } else { c }).collect()
}

/// Breaks a text between words.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().filter(|line| {
            line.is_empty() || line.chars().count() + 1 + word.chars().count() <= width
        });
        match last {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}
