//! Writes a diagnosis for a terminal: what was read, what was found, and what to do.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};

use super::finding::{Finding, Level};
use super::{Blindness, Diagnosis, Log, RejectionKind};
use crate::detect::sight::SIGHTS;
use crate::event::EventTime;
use crate::text::{self, count, counted, share};

/// Beginnings of rejected records are cut here.
const SHOWN_PAYLOAD: usize = 160;
/// Rejections that are shown of each format.
const SHOWN_KINDS: usize = 8;
/// Files whose format is explained, of each format.
const SHOWN_REASONS: usize = 5;
const MARGIN: usize = 9;

/// Returns the text, with colours, in lines of about `width` characters. Settings to copy are not
/// broken.
pub fn render(diagnosis: &Diagnosis, width: usize) -> String {
    let mut page = Page { text: String::new(), width: width.clamp(80, 120) };
    page.line(&sampled(diagnosis));
    for log in &diagnosis.logs {
        page.log(log);
    }
    page.text
}

/// Returns a few lines for each format: what was decoded, the warnings, and what is blind.
pub fn summary(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    for log in &diagnosis.logs {
        let _ = writeln!(text, "{}: {}", log.format, volume(log));
        let warnings = log.findings.iter().filter(|finding| finding.level != Level::Note);
        let warnings: Vec<String> = warnings.map(|finding| clean(&finding.title)).collect();
        if !warnings.is_empty() {
            let _ = writeln!(text, "  {}", warnings.join("; "));
        }
        let blind = log.blind.iter().flat_map(|blind| blind.detectors);
        let blind: Vec<&str> = blind.copied().collect();
        if !blind.is_empty() {
            let _ = writeln!(text, "  blind: {} (`keywatch doctor` says why)", blind.join(", "));
        }
    }
    text
}

fn sampled(diagnosis: &Diagnosis) -> String {
    let sample = &diagnosis.sample;
    let records = counted(sample.records as usize, "record");
    let files = counted(sample.files, "file");
    let (bytes, disk) = (size(sample.bytes), size(sample.total_bytes));
    let mut text = if sample.is_whole {
        format!("Read all {records} of {files} ({disk} on the disk).")
    } else {
        format!(
            "Read the first {records} ({bytes}) of {files} ({disk} on the disk). All shares below \
             are those of this sample."
        )
    };
    for warning in &sample.warnings {
        let _ = write!(text, "\n{}", clean(warning));
    }
    if sample.files_left_out > 0 {
        let _ = write!(text, " {} were not opened.", counted(sample.files_left_out, "more file"));
    }
    text
}

fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        1e9.. => format!("{} GB", text::number(bytes / 1e9)),
        1e6.. => format!("{} MB", text::number(bytes / 1e6)),
        1e3.. => format!("{} kB", text::number(bytes / 1e3)),
        _ => format!("{bytes} bytes"),
    }
}

struct Page {
    text: String,
    width: usize,
}

impl Page {
    fn log(&mut self, log: &Log) {
        self.heading(log.format);
        for reason in log.reasons.iter().take(SHOWN_REASONS) {
            self.paragraph(&clean(reason), 2);
        }
        if log.reasons.len() > SHOWN_REASONS {
            let more = counted(log.reasons.len() - SHOWN_REASONS, "more file");
            self.paragraph(&format!("and {more} of this format"), 2);
        }
        self.paragraph(&volume(log), 2);
        self.line("");
        for finding in &log.findings {
            self.finding(finding);
        }
        self.rejections(log);
        self.fields(log);
        self.blind(log);
        self.ages(log);
    }

    /// From which age the detectors see a key: a young log has only young keys.
    fn ages(&mut self, log: &Log) {
        let Some(span) = log.span else { return };
        let seconds = span.last.seconds_since(span.first);
        self.heading("When detectors begin to see a key");
        for sight in &SIGHTS {
            let age = match sight.seconds {
                0.0 => "at once".to_owned(),
                age => format!("after {}", text::duration(age)),
            };
            let names: Vec<&str> = sight.detectors.iter().map(|id| id.as_str()).collect();
            let remark = match sight.remark {
                "" => String::new(),
                remark => format!(" ({remark})"),
            };
            let later = if sight.seconds > seconds { "; not within this log" } else { "" };
            self.paragraph(&format!("{age}: {}{remark}{later}", names.join(", ")), 2);
        }
    }

    fn finding(&mut self, finding: &Finding) {
        let (label, style) = match finding.level {
            Level::Stop => ("STOP", AnsiColor::Red.on_default().bold()),
            Level::Warn => ("WARN", AnsiColor::Yellow.on_default().bold()),
            Level::Note => ("note", Style::new().dimmed()),
        };
        let bold = if finding.level == Level::Note { Style::new() } else { Style::new().bold() };
        let title = wrapped(&clean(&finding.title), self.width - MARGIN);
        for (at, line) in title.iter().enumerate() {
            let label = match at {
                0 => format!("{style}{label}{style:#}{:1$}", "", 5 - label.len()),
                _ => " ".repeat(5),
            };
            self.line(&format!("  {label}  {bold}{line}{bold:#}"));
        }
        if !finding.detail.is_empty() {
            self.paragraph(&clean(&finding.detail), MARGIN);
        }
        if let Some(remedy) = &finding.remedy {
            // Not broken: it is made to be copied.
            self.line(&format!("{:MARGIN$}-> {}", "", clean(remedy)));
        }
    }

    fn rejections(&mut self, log: &Log) {
        if log.rejections.is_empty() {
            return;
        }
        self.heading("Rejected");
        let all = (log.events + log.rejected) as f64;
        let mut table = self.table(["reason", "records", "share", "first one"]);
        for kind in log.rejections.iter().take(SHOWN_KINDS) {
            let share = share(kind.number as f64 / all);
            let records = count(kind.number as usize);
            let example = clean(&format!("{}: {}", kind.place, kind.detail));
            table.add_row(vec![kind.reason.to_owned(), records, share, example]);
        }
        self.put(table, &[1, 2]);
        self.line("  The first one of each, with what could be a secret masked:");
        for kind in log.rejections.iter().take(SHOWN_KINDS) {
            self.example(kind);
        }
    }

    fn example(&mut self, kind: &RejectionKind) {
        let masked = kind.masked_payload.trim();
        if !masked.is_empty() {
            let mut shown: String = clean(masked).chars().take(SHOWN_PAYLOAD).collect();
            if shown.chars().count() == SHOWN_PAYLOAD {
                shown.push('…');
            }
            self.line(&format!("  {}: {shown}", kind.reason));
        }
    }

    fn fields(&mut self, log: &Log) {
        if log.fields.is_empty() {
            return;
        }
        self.heading("Optional fields in the log");
        let present = log.fields.iter().filter(|field| field.share > 0.0);
        let present: Vec<String> =
            present.map(|field| format!("{} {}", field.field, share(field.share))).collect();
        let absent = log.fields.iter().filter(|field| field.share == 0.0);
        let absent: Vec<&str> = absent.map(|field| field.field).collect();
        if !present.is_empty() {
            self.paragraph(&present.join(", "), 2);
        }
        if !absent.is_empty() {
            self.paragraph(&format!("none of: {}", absent.join(", ")), 2);
        }
    }

    fn blind(&mut self, log: &Log) {
        if log.blind.is_empty() {
            return;
        }
        self.heading("Blind where a field is missing");
        let mut table = self.table(["field", "share", "blind", "so that"]);
        for blind in &log.blind {
            let detectors = blind.detectors.join("\n");
            let share = share(blind.share);
            table.add_row([blind.field, &share, &detectors, blind.consequence]);
        }
        self.put(table, &[1]);
        self.settings(log);
    }

    /// The settings that add the missing fields, to copy.
    fn settings(&mut self, log: &Log) {
        let possible: Vec<&Blindness> = log.blind.iter().filter(|it| it.is_possible).collect();
        if !possible.is_empty() {
            self.heading(&format!("To log them ({})", log.format));
            for blind in possible {
                let field = blind.field;
                let own = || format!("a field of your own; {field} = \"...\" in [decode.mapping]");
                let setting = blind.to_log.clone().unwrap_or_else(own);
                self.line(&format!("  {field:<19}{setting}"));
            }
        }
        let impossible: Vec<&str> =
            log.blind.iter().filter(|it| !it.is_possible).map(|it| it.field).collect();
        if !impossible.is_empty() {
            self.line("");
            let fields = impossible.join(", ");
            self.paragraph(&format!("{} cannot log: {fields}", log.format), 2);
        }
    }

    fn heading(&mut self, text: &str) {
        let bold = Style::new().bold().underline();
        self.line(&format!("\n{bold}{text}{bold:#}"));
    }

    fn paragraph(&mut self, text: &str, margin: usize) {
        for line in wrapped(text, self.width - margin) {
            self.line(&format!("{:margin$}{line}", ""));
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn table(&self, header: [&str; 4]) -> Table {
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_BORDERS_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width((self.width - 2) as u16)
            .set_header(header.to_vec());
        table
    }

    fn put(&mut self, mut table: Table, numbers: &[usize]) {
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

fn volume(log: &Log) -> String {
    let all = log.events + log.rejected;
    if all == 0 {
        return format!("no request; {} left out by the format", count(log.skipped as usize));
    }
    let mut text = format!(
        "{} of {} decoded",
        share(log.events as f64 / all as f64),
        counted(all as usize, "request")
    );
    if log.skipped > 0 {
        let _ = write!(text, "; {} more left out by the format", count(log.skipped as usize));
    }
    if let Some(span) = log.span {
        let _ = write!(
            text,
            "; {}, {} to {} UTC",
            counted(log.keys, "key"),
            minutes(span.first),
            minutes(span.last)
        );
    }
    text
}

fn minutes(time: EventTime) -> String {
    time.to_string().chars().take("2026-01-01T00:00".len()).collect::<String>().replace('T', " ")
}

/// Replaces characters that would change how the rest of a line is shown.
fn clean(text: &str) -> String {
    text.chars().map(|c| if text::is_deceptive(c) { '\u{fffd}' } else { c }).collect()
}

/// Breaks a text between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
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
