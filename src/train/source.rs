//! Where history comes from: log files, or the events that ClickHouse holds.

use std::path::PathBuf;

use tokio::runtime::Runtime;

use super::TrainError;
use crate::app::AppError;
use crate::config::Config;
use crate::decode::Decoder;
use crate::enrich::Enricher;
use crate::event::{EnrichedEvent, EventTime};
use crate::source::{BatchLimits, FileReader};
use crate::store::{Slice, Store, StoreError};

/// A history that can be read more than once, each time the same.
pub enum Source<'a> {
    /// Oldest first.
    Files { paths: &'a [PathBuf], config: &'a Config },
    /// What was there when it was opened.
    Store { store: &'a Store, slices: Vec<Slice>, runtime: &'a Runtime },
}

impl From<StoreError> for TrainError {
    fn from(error: StoreError) -> Self {
        Self::App(AppError::Store(error))
    }
}

impl<'a> Source<'a> {
    /// All events that `store` holds and that were judged.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn stored(store: &'a Store, runtime: &'a Runtime) -> Result<Self, TrainError> {
        let since = EventTime::from_micros(0);
        let slices = runtime.block_on(store.event_slices(since))?;
        Ok(Self::Store { store, slices, runtime })
    }

    /// Hands all events to `each`, a bounded number at once; files in their order, stored
    /// events in the order of time. `on_progress` is called with what was read and what there
    /// is, in bytes or in events. Returns the number of records that could not be decoded.
    ///
    /// # Errors
    /// Unreadable input, configuration, databases or store; and what `each` says.
    pub fn read(
        &self,
        on_progress: &mut dyn FnMut(u64, u64),
        each: &mut dyn FnMut(Vec<EnrichedEvent>) -> Result<(), TrainError>,
    ) -> Result<u64, TrainError> {
        match self {
            Self::Files { paths, config } => read_files(paths, config, on_progress, each),
            Self::Store { store, slices, runtime } => {
                let total = slices.iter().map(|slice| slice.events).sum();
                let mut read = 0;
                for slice in slices {
                    runtime.block_on(store.read_events(*slice, |events| {
                        read += events.len() as u64;
                        on_progress(read, total);
                        each(events)
                    }))?;
                }
                Ok(0)
            }
        }
    }
}

/// Through the same decoding and enrichment as the service.
fn read_files(
    paths: &[PathBuf],
    config: &Config,
    on_progress: &mut dyn FnMut(u64, u64),
    each: &mut dyn FnMut(Vec<EnrichedEvent>) -> Result<(), TrainError>,
) -> Result<u64, TrainError> {
    let decoder = Decoder::new(&config.decode).map_err(AppError::from)?;
    let mut enricher = Enricher::open(&config.enrich).map_err(AppError::from)?;
    let limits = BatchLimits::from(&config.source);
    let mut reader = FileReader::open(paths.to_vec(), limits).map_err(AppError::from)?;
    let progress = reader.progress();
    let mut rejections = 0;
    for batch in reader.by_ref() {
        let decoded =
            decoder.decode(&batch.map_err(AppError::from)?, EventTime::from_micros(i64::MAX));
        rejections += decoded.rejections.len() as u64;
        each(enricher.enrich(decoded.events))?;
        on_progress(progress.read_bytes(), progress.total_bytes());
    }
    Ok(rejections)
}
