//! Replays a log through the same core as the service: files in, alerts and figures out.
//!
//! Deterministic: the same files, configuration and databases give the same bytes.

mod cases;
pub mod diff;
pub mod figures;
pub mod labels;
mod matches;
pub mod page;
mod promise;
mod span;
mod tally;
mod timeline;

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use crate::alert::Alert;
use crate::config::Config;
use crate::engine::{Choice, ScoredBatch, Scorer, ScorerError};
use crate::event::ShardId;
use crate::record::BatchLimits;
use crate::respond;
use crate::source::{FileProgress, FileReader, SourceError};

use self::figures::Report;
use self::labels::Label;
use self::tally::Tally;

/// Decoded batches that wait for the engine. More would only take memory.
const BATCHES_AHEAD: usize = 1;

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    #[error(transparent)]
    Scorer(#[from] ScorerError),
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// The result of a run.
pub struct Outcome {
    pub alerts: Vec<Alert>,
    pub report: Report,
    /// The first few rejections, as text for the user.
    pub rejections: Vec<String>,
    /// The formats that were chosen by content, a sentence for each log.
    pub formats: Vec<String>,
    /// What was wrong with files that were read to their end all the same.
    pub warnings: Vec<String>,
}

/// Runs `inputs` through the core, in the order given.
///
/// `on_progress` is called after each batch.
///
/// # Errors
/// Returns an error for unreadable input, configuration or databases.
pub fn run(
    inputs: &[PathBuf],
    config: &Config,
    labels: &[Label],
    mut on_progress: impl FnMut(&FileProgress),
) -> Result<Outcome, BacktestError> {
    let mut scorer = Scorer::open(config)?;
    let mut reader = FileReader::open(inputs.to_vec(), BatchLimits::from(&config.source))?;
    let progress = reader.progress();
    let mut tally = Tally::new(labels);
    let mut alerts = Vec::new();
    judge_all(&mut scorer, &mut reader, |mut scored| {
        tally.add(&scored);
        alerts.append(&mut scored.outcome.alerts);
        on_progress(&progress);
    })?;
    let (observed, rejections) = tally.finish(scorer.engine().keys());
    let alerts = with_responses(alerts, config);
    let mut report = figures::measure(&observed, &alerts, labels);
    report.calibration =
        scorer.engine().calibration(ShardId::Shared).map(|(calibration, thresholds)| {
            let behaviour = config.models.judge_behaviour;
            promise::compare(
                calibration,
                &thresholds,
                &report.detectors,
                !labels.is_empty(),
                behaviour,
            )
        });
    let formats = scorer.formats().iter().map(Choice::sentence).collect();
    let warnings = progress.warnings();
    Ok(Outcome { alerts, report, rejections, formats, warnings })
}

/// Judges all batches in order. A second thread reads and decodes the next ones meanwhile, which
/// depends on no judgement.
fn judge_all(
    scorer: &mut Scorer,
    reader: &mut FileReader,
    mut each: impl FnMut(ScoredBatch),
) -> Result<(), SourceError> {
    let (intake, engine) = scorer.halves();
    let (sender, decoded) = mpsc::sync_channel(BATCHES_AHEAD);
    thread::scope(|scope| {
        scope.spawn(move || {
            for batch in reader {
                // Nobody receives any more after an error.
                if sender.send(batch.map(|batch| intake.decode(&batch, None))).is_err() {
                    return;
                }
            }
        });
        for batch in decoded {
            each(batch?.judge(engine, None, None));
        }
        Ok(())
    })
}

/// Adds the suspensions and revocations that would have been requested.
fn with_responses(alerts: Vec<Alert>, config: &Config) -> Vec<Alert> {
    let rules = respond::Rules::new(&config.policy);
    let granted = respond::replay(&alerts, &rules, config.policy.quiet_close_seconds);
    respond::with_requests(alerts, granted)
}
