//! A log in a few lines: what was decoded, the warnings, and what is blind.

use std::fmt::Write;

use super::page::clean;
use crate::doctor::{Diagnosis, Level, Log};
use crate::event::EventTime;
use crate::text::{count, counted, share};

/// What matters of the logs of one format before a longer task.
#[derive(Clone, Debug)]
pub struct Glance {
    pub format: &'static str,
    /// How much was decoded, in words.
    pub volume: String,
    /// What is wrong with the log, and in how far nothing can be judged.
    pub warnings: Vec<String>,
    /// Detectors that lack a field.
    pub blind: Vec<&'static str>,
}

pub fn glances(diagnosis: &Diagnosis) -> Vec<Glance> {
    let glance = |log: &Log| {
        let warnings = log.findings.iter().filter(|finding| finding.level != Level::Note);
        let blind = log.blind.iter().flat_map(|blind| blind.detectors);
        Glance {
            format: log.format,
            volume: volume(log),
            warnings: warnings.map(|finding| clean(&finding.title)).collect(),
            blind: blind.copied().collect(),
        }
    };
    diagnosis.logs.iter().map(glance).collect()
}

/// The same as text.
pub fn summary(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    for Glance { format, volume, warnings, blind } in glances(diagnosis) {
        let _ = writeln!(text, "{format}: {volume}");
        if !warnings.is_empty() {
            let _ = writeln!(text, "  {}", warnings.join("; "));
        }
        if !blind.is_empty() {
            let _ = writeln!(text, "  blind: {} (`keywatch doctor` says why)", blind.join(", "));
        }
    }
    text
}

pub(super) fn volume(log: &Log) -> String {
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
