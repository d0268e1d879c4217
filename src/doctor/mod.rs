//! Examines a sample of a log: what is in it, which detectors are blind for want of which field, and
//! what to add to the gateway's configuration.

mod addresses;
mod clocks;
mod cluster;
mod fields;
mod finding;
mod partitions;
mod sample;
mod sampling;
mod tally;
#[cfg(test)]
mod tests;
mod times;
mod words;

use std::path::PathBuf;

use serde::Serialize;

pub use self::cluster::ClusterHealth;
pub use self::fields::{Blindness, FieldShare};
use self::finding::Settings;
pub use self::finding::{Finding, Level};
use self::sample::Decoders;
pub use self::sample::{Extent, Sampled};
use self::tally::Tally;
pub use self::tally::{RejectionKind, Span};
pub use self::words::{Glance, glances, render, render_cluster, summary};
use crate::config::Config;
use crate::decode::DecodeError;
use crate::event::EventTime;
use crate::record::RawBatch;
use crate::source::SourceError;

/// Why a log cannot be examined.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// All that was found, by format.
#[derive(Debug, Serialize)]
pub struct Diagnosis {
    pub sample: Sampled,
    pub logs: Vec<Log>,
}

/// The logs of one format.
#[derive(Debug, Serialize)]
pub struct Log {
    pub format: &'static str,
    /// Why this format, a sentence for each file.
    pub reasons: Vec<String>,
    pub records: u64,
    pub events: u64,
    pub rejected: u64,
    /// Requests that the format leaves out.
    pub skipped: u64,
    /// Keys with at least one event.
    pub keys: usize,
    pub span: Option<Span>,
    pub rejections: Vec<RejectionKind>,
    pub fields: Vec<FieldShare>,
    pub blind: Vec<Blindness>,
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// Why nothing can be judged, in one sentence. A script must notice it.
    pub fn failure(&self) -> Option<String> {
        if self.logs.iter().any(|log| log.events > 0) {
            return None;
        }
        let stops = self.logs.iter().flat_map(|log| &log.findings);
        let stop = stops.filter(|finding| finding.level == Level::Stop).map(|it| it.title.clone());
        Some(stop.into_iter().next().unwrap_or_else(|| "nothing was read: the log is empty".into()))
    }
}

/// Examines the beginning of each file.
///
/// `now` only tells how old the events are: no time is refused.
///
/// # Errors
/// The configuration cannot be used, or a file cannot be read.
pub fn examine(
    inputs: &[PathBuf],
    extent: Extent,
    config: &Config,
    now: EventTime,
) -> Result<Diagnosis, DoctorError> {
    diagnose(config, now, |decoders, tallies| sample::read(inputs, extent, decoders, tallies))
}

/// Examines the latest records of a topic, without joining the group and without committing
/// anything. Blocks the thread.
///
/// # Errors
/// The configuration cannot be used, there is no such topic, or the brokers do not answer.
pub fn examine_topic(
    topic: &str,
    extent: Extent,
    config: &Config,
    now: EventTime,
) -> Result<Diagnosis, DoctorError> {
    let kafka = &config.source.kafka;
    diagnose(config, now, |decoders, tallies| {
        sample::read_topic(topic, extent, kafka, decoders, tallies)
    })
}

/// Examines records that were read for another purpose.
///
/// # Errors
/// The configuration cannot be used.
pub fn examine_batches(
    batches: &[RawBatch],
    config: &Config,
    now: EventTime,
) -> Result<Diagnosis, DoctorError> {
    diagnose(config, now, |decoders, tallies| Ok(sample::add(batches, decoders, tallies)))
}

fn diagnose(
    config: &Config,
    now: EventTime,
    read: impl FnOnce(&Decoders, &mut Vec<Tally>) -> Result<Sampled, DoctorError>,
) -> Result<Diagnosis, DoctorError> {
    let mut tallies: Vec<Tally> = Vec::new();
    let decoders = Decoders::new(&config.decode)?;
    let sample = read(&decoders, &mut tallies)?;
    let settings = Settings { config, decoder: &decoders.by_content, now };
    let logs = tallies.into_iter().map(|tally| tally.finish(&settings)).collect();
    Ok(Diagnosis { sample, logs })
}
