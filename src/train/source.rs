//! Reads history from log files, or from the events in ClickHouse.

use std::path::PathBuf;

use tokio::runtime::Runtime;

use super::TrainError;
use crate::config::Config;
use crate::decode::Decoder;
use crate::enrich::Enricher;
use crate::event::{EnrichedEvent, EventTime};
use crate::record::BatchLimits;
use crate::source::FileReader;
use crate::store::{Slice, Store};

/// A history that can be read more than once; each reading gives the same events.
pub enum Source<'a> {
    /// Log files, oldest first.
    Files { paths: &'a [PathBuf], config: &'a Config },
    /// The events that the store held when it was opened.
    Store { store: &'a Store, slices: Vec<Slice>, runtime: &'a Runtime },
}

impl<'a> Source<'a> {
    /// All judged events that `store` holds.
    ///
    /// # Errors
    /// Returns an error if the store cannot be read.
    pub fn stored(store: &'a Store, runtime: &'a Runtime) -> Result<Self, TrainError> {
        let since = EventTime::from_micros(0);
        let slices = runtime.block_on(store.event_slices(since))?;
        Ok(Self::Store { store, slices, runtime })
    }

    /// Hands all events to `each`, in bounded portions: files in their order, stored events in
    /// order of time. `on_progress` is called with the amount read and the total, in bytes or in
    /// events. Returns the number of records that could not be decoded.
    ///
    /// # Errors
    /// Returns an error for unreadable input, configuration, databases or store, and any error of
    /// `each`.
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

/// Reads files through the same decoding and enrichment as the service.
fn read_files(
    paths: &[PathBuf],
    config: &Config,
    on_progress: &mut dyn FnMut(u64, u64),
    each: &mut dyn FnMut(Vec<EnrichedEvent>) -> Result<(), TrainError>,
) -> Result<u64, TrainError> {
    let decoder = Decoder::new(&config.decode)?;
    let mut enricher = Enricher::open(&config.enrich)?;
    let limits = BatchLimits::from(&config.source);
    let mut reader = FileReader::open(paths.to_vec(), limits)?;
    let progress = reader.progress();
    let mut rejections = 0;
    for batch in reader.by_ref() {
        let decoded = decoder.decode(&batch?, EventTime::from_micros(i64::MAX));
        rejections += decoded.rejected();
        each(enricher.enrich(decoded.events))?;
        on_progress(progress.read_bytes(), progress.total_bytes());
    }
    Ok(rejections)
}
