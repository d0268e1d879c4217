//! Decode to decide as one step: bytes in, rows and alerts out.

use crate::alert::Alert;
use crate::config::Config;
use crate::decode::{Decoder, Rejection};
use crate::detect::Thresholds;
use crate::detect::calibration::Calibration;
use crate::engine::{Engine, Quarantined};
use crate::enrich::Enricher;
use crate::event::{EnrichedEvent, EventTime, PartitionId, RecordPosition, ShardId};
use crate::registry::Registry;
use crate::source::RawBatch;

use super::AppError;

/// The synchronous core behind one door, the same for the service and the backtest.
pub struct Core {
    decoder: Decoder,
    enricher: Enricher,
    engine: Engine,
}

/// What one raw batch became.
#[derive(Debug)]
pub struct Processed {
    pub partition: PartitionId,
    pub first_offset: i64,
    pub last_offset: i64,
    pub events: Vec<EnrichedEvent>,
    /// Events among these that had come before, by position, in order.
    pub redelivered: Vec<RecordPosition>,
    /// Those of the events that were not judged.
    pub quarantined: Vec<Quarantined>,
    pub rejections: Vec<Rejection>,
    pub alerts: Vec<Alert>,
}

impl Core {
    /// # Errors
    /// An unusable decoder setting or a location database that cannot be read.
    pub fn new(config: &Config) -> Result<Self, AppError> {
        let registry = config.detect.registry_file.as_deref().map(Registry::read).transpose()?;
        Ok(Self {
            decoder: Decoder::new(&config.decode)?,
            enricher: Enricher::open(&config.enrich)?,
            engine: Engine::new(&config.detect, &config.policy, registry.unwrap_or_default()),
        })
    }

    /// `now` bounds event times from above and becomes the alerts' `detected_at`. Without it
    /// (in a backtest) event times are not bounded, and alerts are detected at event time.
    pub fn process(&mut self, batch: &RawBatch, now: Option<EventTime>) -> Processed {
        let bound = now.unwrap_or(EventTime::from_micros(i64::MAX));
        let decoded = self.decoder.decode(batch, bound);
        let events = self.enricher.enrich(decoded.events);
        let alerts = self.engine.process(batch.shard, &decoded.partition, &events, now);
        Processed {
            partition: decoded.partition,
            first_offset: decoded.first_offset,
            last_offset: decoded.last_offset,
            events,
            redelivered: self.engine.redelivered().to_vec(),
            quarantined: self.engine.take_quarantined(),
            rejections: decoded.rejections,
            alerts,
        }
    }

    /// Keys that have a profile.
    pub fn keys(&self) -> usize {
        self.engine.keys()
    }

    /// What the scores were like in the shard of files, and the thresholds they were held to.
    pub fn calibration(&self) -> Option<(&Calibration, Thresholds)> {
        self.engine.calibration(ShardId::Shared)
    }

    /// Reads location databases again that were replaced; keeps the old ones on failure.
    pub fn reload_databases(&mut self) {
        match self.enricher.reload_if_replaced() {
            Ok(true) => tracing::info!("location databases were replaced and read again"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "keeping the location databases in use"),
        }
    }
}
