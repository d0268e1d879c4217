//! A log in a few lines: what was decoded, the warnings, and what is blind.

use std::fmt::Write;

use super::page::clean;
use crate::doctor::{Blindness, Diagnosis, Level, Log};
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
    /// Detectors whose field hardly any request has, ...
    pub blind: Vec<&'static str>,
    /// ... and those whose field some requests lack.
    pub partly_blind: Vec<&'static str>,
}

/// A field that fewer requests have is missing from the log.
const MISSING: f64 = 0.01;

pub fn glances(diagnosis: &Diagnosis) -> Vec<Glance> {
    let glance = |log: &Log| {
        let warnings = log.findings.iter().filter(|finding| finding.level != Level::Note);
        let (blind, partly): (Vec<&Blindness>, Vec<&Blindness>) =
            log.blind.iter().partition(|blind| blind.share < MISSING);
        Glance {
            format: log.format,
            volume: volume(log),
            warnings: warnings.map(|finding| clean(&finding.title)).collect(),
            blind: detectors(&blind),
            partly_blind: detectors(&partly),
        }
    };
    diagnosis.logs.iter().map(glance).collect()
}

fn detectors(blind: &[&Blindness]) -> Vec<&'static str> {
    blind.iter().flat_map(|blind| blind.detectors).copied().collect()
}

/// The same as text.
pub fn summary(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    for Glance { format, volume, warnings, blind, partly_blind } in glances(diagnosis) {
        let _ = writeln!(text, "{format}: {volume}");
        if !warnings.is_empty() {
            let _ = writeln!(text, "  {}", warnings.join("; "));
        }
        let blind = [("blind", blind), ("blind to some requests", partly_blind)]
            .into_iter()
            .filter(|(_, detectors)| !detectors.is_empty())
            .map(|(how, detectors)| format!("{how}: {}", detectors.join(", ")));
        let blind = blind.collect::<Vec<_>>().join("; ");
        if !blind.is_empty() {
            let _ = writeln!(text, "  {blind} (`keywatch doctor` says why)");
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
