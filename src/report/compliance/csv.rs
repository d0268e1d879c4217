//! Writes a compliance report as CSV: one figure a line, which any program can filter.

use ::csv::WriterBuilder;

use super::{Compliance, Value};

/// `section,row,name,value`. The first column of each section names the row; sections whose rows
/// have two names (a severity and a step) join them.
///
/// # Errors
/// None but those of memory.
pub fn render(report: &Compliance) -> Result<String, ::csv::Error> {
    let mut csv = WriterBuilder::new().from_writer(Vec::new());
    csv.write_record(["section", "row", "name", "value"])?;
    let bounds = [("from", report.from), ("to", report.to), ("made_at", report.made_at)];
    for (name, time) in bounds {
        csv.write_record(["report", "", name, &time.to_string()])?;
    }
    csv.write_record([
        "report",
        "",
        "audit_head",
        report.audit_head.as_deref().unwrap_or_default(),
    ])?;
    for section in &report.sections {
        for row in section.rows() {
            let texts = row.iter().take_while(|(_, value)| matches!(value, Value::Text(_)));
            let texts: Vec<String> = texts.map(|(_, value)| value.shown()).collect();
            let name = harmless(&texts.join(" "));
            for (column, value) in row.iter().skip(texts.len()) {
                csv.write_record([section.name, &name, column, &harmless(&value.shown())])?;
            }
        }
    }
    let bytes = csv.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Spreadsheets take a text that begins so for a formula.
fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}
