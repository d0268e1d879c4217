//! Renders the plain-text part of a mail.

use std::fmt::Write;

use super::content::Report;
use super::digest::Digest;
use super::question::Letter;

const LINE_WIDTH: usize = 76;

pub(super) fn report(report: &Report) -> String {
    let mut text = format!("{}\n\n{}\n", report.rating, wrapped(&report.title, ""));
    section(&mut text, "What happened", &wrapped(&report.what_happened, ""));
    section(&mut text, "What was done", &wrapped(&report.what_was_done, ""));
    section(&mut text, "Evidence", evidence(report).trim_end());
    let facts: Vec<_> =
        report.facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    section(&mut text, "When and where", rows(&facts, "").trim_end());
    let look = format!("{}\n\n{}", report.command, report.query);
    section(&mut text, "Look further", &look);
    text
}

pub(super) fn digest(digest: &Digest) -> String {
    let mut text = format!("{}\n\n{}\n", digest.headline, wrapped(&digest.summary, ""));
    for line in &digest.lines {
        let severity = line.severity.as_str().to_uppercase();
        let head = format!("{severity}  {}  {}", line.time, line.id);
        let _ = write!(text, "\n{head}\n{}\n", wrapped(&line.title, "  "));
    }
    if let Some(omitted) = &digest.omitted {
        let _ = write!(text, "\n{omitted}\n");
    }
    section(&mut text, "Look further", &digest.command);
    text
}

pub(super) fn letter(letter: &Letter) -> String {
    let facts: Vec<_> =
        letter.facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let mut text = format!("{}\n\n{}", wrapped(&letter.opening, ""), rows(&facts, "  "));
    for (name, address) in &letter.links {
        let _ = write!(text, "\n{name}:\n{address}\n");
    }
    for paragraph in &letter.closing {
        let _ = write!(text, "\n{}\n", wrapped(paragraph, ""));
    }
    text
}

fn section(text: &mut String, heading: &str, body: &str) {
    let heading = heading.to_uppercase();
    let _ = write!(text, "\n{heading}\n{}\n{body}\n", "-".repeat(heading.len()));
}

fn evidence(report: &Report) -> String {
    let tables = report.evidence.iter().map(|evidence| {
        let head = format!("{} ({})", evidence.detector, evidence.surprise);
        format!("{head}\n{}", rows(&evidence.rows, "  "))
    });
    tables.collect::<Vec<_>>().join("\n")
}

/// Pads the names to a column as wide as the widest of them.
fn rows(rows: &[(String, String)], indent: &str) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let line = |(name, value): &(String, String)| format!("{indent}{name:width$}  {value}\n");
    rows.iter().map(line).collect()
}

fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = vec![String::from(indent)];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        let empty = line.chars().count() == indent.len();
        if empty || line.chars().count() + 1 + word.chars().count() <= LINE_WIDTH {
            line.push_str(if empty { "" } else { " " });
            line.push_str(word);
        } else {
            lines.push(format!("{indent}{word}"));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures;
    use super::*;

    #[test]
    fn mails_keep_their_form() {
        for name in ["impossible_travel", "revocation_requested", "hostile", "source_resolved"] {
            insta::assert_snapshot!(name, report(&Report::new(&fixtures::alert(name), "keywatch")));
        }
    }

    #[test]
    fn long_words_are_kept_whole() {
        let long = "x".repeat(100);
        assert_eq!(wrapped(&format!("a {long} b"), " "), format!(" a\n {long}\n b"));
    }
}
