//! Examines the first records of the service, and says in the log what they lack.
//!
//! The records are copies of those that the pipeline has read anyway. A thread examines them, so
//! that nothing waits.

use std::mem;
use std::time::Duration;

use tokio::task::{self, JoinHandle};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::Config;
use crate::doctor::{self, Extent, Glance};
use crate::event::EventTime;
use crate::record::RawBatch;

/// Fewer records say little, so that more are waited for, ...
const FEW_RECORDS: usize = 200;
/// ... but not for longer than this after the first one.
const PATIENCE: Duration = Duration::from_secs(10);

/// The records so far, until they are examined.
pub enum FirstLook {
    Collecting(Box<Collected>),
    Examining(JoinHandle<()>),
    Done,
}

pub struct Collected {
    config: Config,
    batches: Vec<RawBatch>,
    /// When the first of them came.
    since: Instant,
    /// How many events they hold.
    events: usize,
}

impl FirstLook {
    pub fn new(config: &Config) -> Self {
        let (config, batches) = (config.clone(), Vec::new());
        let since = Instant::now();
        Self::Collecting(Box::new(Collected { config, batches, since, events: 0 }))
    }

    /// Takes note of a batch and of the number of events that it holds.
    pub fn note(&mut self, batch: &RawBatch, events: usize) {
        if let Self::Collecting(collected) = self {
            collected.add(batch, events);
        }
    }

    /// Examines the records when they are enough, or when no more come. Called once a second.
    pub fn pulse(&mut self) {
        if matches!(self, Self::Collecting(collected) if collected.is_enough()) {
            self.examine();
        }
    }

    fn examine(&mut self) {
        if let Self::Collecting(collected) = mem::replace(self, Self::Done) {
            *self = Self::Examining(task::spawn_blocking(move || collected.tell()));
        }
    }

    /// Examines a log that has ended, and waits for it: no line of it comes behind the last one of
    /// the service.
    pub async fn finish(&mut self) {
        if matches!(self, Self::Collecting(collected) if !collected.batches.is_empty()) {
            self.examine();
        }
        if let Self::Examining(task) = mem::replace(self, Self::Done)
            && let Err(error) = task.await
        {
            warn!(%error, "the first records could not be examined");
        }
    }
}

impl Collected {
    fn add(&mut self, batch: &RawBatch, events: usize) {
        if self.batches.is_empty() {
            self.since = Instant::now();
        }
        self.events += events;
        let Extent { records, bytes } = Extent::GLANCE;
        let bytes =
            bytes.saturating_sub(self.batches.iter().map(RawBatch::size_bytes).sum::<usize>());
        self.batches.push(beginning(batch, records.saturating_sub(self.records()), bytes));
    }

    fn tell(&self) {
        match doctor::examine_batches(&self.batches, &self.config, EventTime::now()) {
            Ok(diagnosis) => doctor::glances(&diagnosis).iter().for_each(tell_of),
            Err(error) => warn!(%error, "the first records could not be examined"),
        }
    }

    fn records(&self) -> usize {
        self.batches.iter().map(RawBatch::len).sum()
    }

    /// A log of which nothing can be read is told at once.
    fn is_enough(&self) -> bool {
        let has_waited = || self.since.elapsed() >= PATIENCE;
        let is_unread = || self.events == 0;
        self.records() > 0 && (self.records() >= FEW_RECORDS || is_unread() || has_waited())
    }
}

/// The first records of a batch.
fn beginning(batch: &RawBatch, records: usize, bytes: usize) -> RawBatch {
    let mut beginning = batch.emptied();
    for (offset, record) in batch.records().take(records) {
        if beginning.size_bytes() + record.len() > bytes {
            break;
        }
        beginning.push(offset, record);
    }
    beginning
}

fn tell_of(glance: &Glance) {
    let Glance { format, volume, warnings, blind, partly_blind } = glance;
    let partly_blind = partly_blind.join(", ");
    info!(format, decoded = volume, partly_blind, "examined the first records");
    if !warnings.is_empty() {
        let warnings = warnings.join("; ");
        warn!(format, warnings, "the log has faults; `keywatch doctor` says what to do");
    }
    if !blind.is_empty() {
        let detectors = blind.join(", ");
        warn!(format, detectors, "detectors are blind; `keywatch doctor` says for want of what");
    }
}
