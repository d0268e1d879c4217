//! A log replayed through the same core as the service: files in, alerts and figures out.
//!
//! Deterministic: the same files, configuration and databases give the same bytes.

mod cases;
pub mod diff;
pub mod labels;
mod matches;
pub mod page;
mod promise;
pub mod report;
mod span;
mod tally;
mod timeline;

use std::path::PathBuf;

use crate::alert::Alert;
use crate::app::{AppError, Core};
use crate::config::Config;
use crate::source::{BatchLimits, FileProgress, FileReader};

use self::labels::Label;
use self::report::Report;
use self::tally::Tally;

/// What a run gave.
pub struct Outcome {
    pub alerts: Vec<Alert>,
    pub report: Report,
    /// The first few rejections, for the person at the terminal.
    pub rejections: Vec<String>,
}

/// Runs `inputs` through the core, in the order given.
///
/// `on_progress` is called after each batch.
///
/// # Errors
/// Unreadable input, configuration or databases.
pub fn run(
    inputs: &[PathBuf],
    config: &Config,
    labels: &[Label],
    mut on_progress: impl FnMut(&FileProgress),
) -> Result<Outcome, AppError> {
    let mut core = Core::new(config)?;
    let mut reader = FileReader::open(inputs.to_vec(), BatchLimits::from(&config.source))?;
    let progress = reader.progress();
    let mut tally = Tally::new(labels);
    let mut alerts = Vec::new();
    for batch in reader.by_ref() {
        let mut processed = core.process(&batch?, None);
        tally.add(&processed);
        alerts.append(&mut processed.alerts);
        on_progress(&progress);
    }
    let (observed, rejections) = tally.finish(core.keys());
    let mut report = report::measure(&observed, &alerts, labels);
    report.calibration = core.calibration().map(|(calibration, thresholds)| {
        let behaviour = config.models.judge_behaviour;
        promise::compare(calibration, &thresholds, &report.detectors, !labels.is_empty(), behaviour)
    });
    Ok(Outcome { alerts, report, rejections })
}
