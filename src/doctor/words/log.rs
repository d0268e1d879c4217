//! The section of the page about the logs of one format.

use anstyle::{AnsiColor, Style};

use super::page::{Page, clean, wrapped};
use super::summary::volume;
use crate::detect::sight::SIGHTS;
use crate::doctor::{Blindness, Finding, Level, Log, RejectionKind};
use crate::text::{self, count, counted, share};

/// Beginnings of rejected records are cut here.
const SHOWN_PAYLOAD: usize = 160;
/// Rejections that are shown of each format.
const SHOWN_KINDS: usize = 8;
/// Files whose format is explained, of each format.
const SHOWN_REASONS: usize = 5;
const MARGIN: usize = 9;

impl Page {
    pub fn log(&mut self, log: &Log) {
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

    pub fn finding(&mut self, finding: &Finding) {
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
}
