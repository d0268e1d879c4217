//! A log replayed through the same core as the service: files in, alerts and figures out.
//!
//! Deterministic: the same files, configuration and databases give the same bytes.

pub mod labels;
pub mod report;

use std::collections::HashMap;
use std::path::PathBuf;

use crate::alert::Alert;
use crate::app::{AppError, Core, Processed};
use crate::config::Config;
use crate::event::{EventTime, KeyId};
use crate::source::{BatchLimits, FileProgress, FileReader};

use self::labels::Label;
use self::report::{Report, RequestTimes, Volume};

/// What a run gave.
pub struct Outcome {
    pub alerts: Vec<Alert>,
    pub report: Report,
    /// The first few rejections, for the person at the terminal.
    pub rejections: Vec<String>,
}

/// Rejections kept to be shown.
const SHOWN_REJECTIONS: usize = 5;

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
        alerts.append(&mut processed.alerts);
        tally.add(&processed);
        on_progress(&progress);
    }
    let volume = tally.volume(&core);
    let report = report::measure(volume, tally.span, &alerts, labels, &tally.requests);
    Ok(Outcome { alerts, report, rejections: tally.rejections })
}

/// Counts what goes through.
struct Tally<'a> {
    labels: &'a [Label],
    by_key: HashMap<&'a KeyId, Vec<usize>>,
    requests: RequestTimes,
    span: Option<(EventTime, EventTime)>,
    events: u64,
    rejected: u64,
    rejections: Vec<String>,
}

impl<'a> Tally<'a> {
    fn new(labels: &'a [Label]) -> Self {
        let mut by_key: HashMap<&KeyId, Vec<usize>> = HashMap::new();
        for (index, label) in labels.iter().enumerate() {
            if let Some(key) = &label.key_id {
                by_key.entry(key).or_default().push(index);
            }
        }
        Self {
            labels,
            by_key,
            requests: vec![Vec::new(); labels.len()],
            span: None,
            events: 0,
            rejected: 0,
            rejections: Vec::new(),
        }
    }

    fn add(&mut self, processed: &Processed) {
        self.events += processed.events.len() as u64;
        self.rejected += processed.rejections.len() as u64;
        let room = SHOWN_REJECTIONS.saturating_sub(self.rejections.len());
        self.rejections.extend(processed.rejections.iter().take(room).map(|rejection| {
            let (topic, line) = (&processed.partition.topic, rejection.position.offset);
            format!("{topic}:{line}: {}: {}", rejection.reason, rejection.detail)
        }));
        for enriched in &processed.events {
            let time = enriched.event.time;
            let (first, last) = self.span.unwrap_or((time, time));
            self.span = Some((first.min(time), last.max(time)));
            for &index in self.by_key.get(&enriched.event.key_id).into_iter().flatten() {
                let label = &self.labels[index];
                if label.start <= time && time <= label.end {
                    self.requests[index].push(time);
                }
            }
        }
    }

    fn volume(&self, core: &Core) -> Volume {
        let seconds = self.span.map_or(0.0, |(first, last)| last.seconds_since(first));
        Volume {
            events: self.events,
            rejections: self.rejected,
            redelivered: core.counters().redelivered,
            keys: core.keys(),
            days: seconds / 86_400.0,
        }
    }
}
