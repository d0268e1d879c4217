//! Decode to decide as one step: bytes in, rows and alerts out.

use metrics::gauge;
use std::net::IpAddr;

use crate::alert::Alert;
use crate::config::{Config, SourceConfig, SourceKind};
use crate::decode::{Decoder, Rejection};
use crate::detect::Thresholds;
use crate::detect::calibration::{Calibration, MEASURED};
use crate::engine::snapshot::{Chunk, Cut, Extent, SnapshotError};
use crate::engine::{
    Counters, Doubt, EarlierUses, Engine, LeakedKey, Quarantined, Restoration, Verdict,
};
use crate::enrich::Enricher;
use crate::event::{EnrichedEvent, EventTime, PartitionId, RecordPosition, ShardId};
use crate::profile::source::Attempt;
use crate::registry::Registry;
use crate::source::RawBatch;

use super::AppError;
use super::model::ModelFile;

/// The synchronous core behind one door, the same for the service and the backtest.
pub struct Core {
    decoder: Decoder,
    enricher: Enricher,
    engine: Engine,
    model: ModelFile,
}

/// A raw batch that waits to be judged.
#[derive(Debug)]
pub struct Decoded {
    shard: ShardId,
    partition: PartitionId,
    first_offset: i64,
    last_offset: i64,
    events: Vec<EnrichedEvent>,
    rejections: Vec<Rejection>,
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
    /// What other partitions should know of the sources of this batch.
    pub attempts: Vec<Attempt>,
    pub alerts: Vec<Alert>,
}

impl Decoded {
    pub fn events(&self) -> &[EnrichedEvent] {
        &self.events
    }
}

impl Core {
    /// # Errors
    /// An unusable decoder setting, or a model or location database that cannot be read.
    pub fn new(config: &Config) -> Result<Self, AppError> {
        let (file, model) = ModelFile::open(&config.models)?;
        let registry = config.detect.registry_file.as_deref().map(Registry::read).transpose()?;
        let registry = registry.unwrap_or_default();
        let mut engine = Engine::new(&config.detect, &config.policy, registry);
        if let Some(model) = model {
            engine.set_model(model);
        }
        Ok(Self {
            decoder: decoder(config)?,
            enricher: Enricher::open(&config.enrich)?,
            engine,
            model: file,
        })
    }

    /// Decodes and judges. `now` bounds event times from above and becomes the alerts'
    /// `detected_at`. Without it (in a backtest) event times are not bounded, and alerts are
    /// detected at event time.
    pub fn process(&mut self, batch: &RawBatch, now: Option<EventTime>) -> Processed {
        let decoded = self.decode(batch, now);
        self.judge(decoded, None, now)
    }

    /// The first half of [`Self::process`]: what needs nothing but the batch.
    pub fn decode(&mut self, batch: &RawBatch, now: Option<EventTime>) -> Decoded {
        let bound = now.unwrap_or(EventTime::from_micros(i64::MAX));
        let decoded = self.decoder.decode(batch, bound);
        Decoded {
            shard: batch.shard,
            partition: decoded.partition,
            first_offset: decoded.first_offset,
            last_offset: decoded.last_offset,
            events: self.enricher.enrich(decoded.events),
            rejections: decoded.rejections,
        }
    }

    /// What the store should be asked before a batch is judged.
    pub fn doubts(&self, decoded: &Decoded) -> Vec<Doubt> {
        self.engine.doubts(decoded.shard, &decoded.events)
    }

    /// The second half of [`Self::process`], with the store's answer if it was asked.
    pub fn judge(
        &mut self,
        decoded: Decoded,
        earlier_uses: Option<&EarlierUses>,
        now: Option<EventTime>,
    ) -> Processed {
        let Decoded { shard, partition, first_offset, last_offset, events, rejections } = decoded;
        let alerts = self.engine.process_knowing(earlier_uses, shard, &partition, &events, now);
        Processed {
            partition,
            first_offset,
            last_offset,
            events,
            redelivered: self.engine.redelivered().to_vec(),
            quarantined: self.engine.take_quarantined(),
            rejections,
            attempts: self.engine.take_attempts(),
            alerts,
        }
    }

    /// See [`Engine::judge_network`].
    pub fn judge_network(&mut self, attempts: &[Attempt], now: Option<EventTime>) -> Verdict {
        self.engine.judge_network(attempts, now)
    }

    /// See [`Engine::home_of`].
    pub fn home_of(&self, address: IpAddr) -> i32 {
        self.engine.home_of(address)
    }

    /// See [`Engine::raise`].
    pub fn raise(&mut self, leak: &LeakedKey, is_told: bool, now: Option<EventTime>) -> Vec<Alert> {
        self.engine.raise(leak, is_told, now)
    }

    /// See [`Engine::counters`].
    pub fn counters(&self) -> Counters {
        self.engine.counters()
    }

    /// Partitions of the topic that is read, over all processes: state is split into as many.
    pub fn set_partition_count(&mut self, count: usize) {
        self.engine.set_partition_count(count);
    }

    /// See [`Engine::shards`].
    pub fn shards(&self) -> Vec<(ShardId, u64)> {
        self.engine.shards()
    }

    pub fn has_shard(&self, shard: ShardId) -> bool {
        self.engine.has_shard(shard)
    }

    /// See [`Engine::position`].
    pub fn position(&self, shard: ShardId, partition: &PartitionId) -> Option<i64> {
        self.engine.position(shard, partition)
    }

    /// # Errors
    /// As [`Engine::cut`].
    pub fn cut(&mut self, shard: ShardId, extent: Extent) -> Result<Option<Cut>, SnapshotError> {
        self.engine.cut(shard, extent)
    }

    /// # Errors
    /// As [`Engine::take_slice`].
    pub fn take_slice(
        &mut self,
        shard: ShardId,
        count: usize,
    ) -> Result<Option<Chunk>, SnapshotError> {
        self.engine.take_slice(shard, count)
    }

    /// # Errors
    /// As [`Engine::install`].
    pub fn install(&mut self, shard: ShardId, state: Restoration) -> Result<(), SnapshotError> {
        self.engine.install(shard, state)
    }

    pub fn forget(&mut self, shard: ShardId) {
        self.engine.forget(shard);
    }

    /// Keys that have a profile.
    pub fn keys(&self) -> usize {
        self.engine.keys()
    }

    /// What the scores were like in the shard of files, and the thresholds they were held to.
    pub fn calibration(&self) -> Option<(&Calibration, Thresholds)> {
        self.engine.calibration(ShardId::Shared)
    }

    /// Reads the model again if its file was replaced; keeps the old one on failure.
    pub fn reload_model(&mut self) {
        match self.model.reload_if_replaced() {
            Ok(Some(model)) => {
                self.engine.set_model(model);
                let version = self.engine.model_version();
                tracing::info!(version, "the model was replaced and read again");
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "keeping the model in use"),
        }
    }

    /// Sets the metrics of how well the models fit this fleet.
    pub fn publish_fit(&self) {
        for drift in self.engine.feature_drift() {
            let labels = [("against", drift.against), ("feature", drift.feature)];
            gauge!("keywatch_model_feature_stability", &labels).set(drift.stability_index);
        }
        for family in MEASURED {
            let Some((promised, measured)) = self.engine.promise(family) else { continue };
            let family = family.as_str();
            gauge!("keywatch_model_tail_promised_share", "family" => family).set(promised);
            gauge!("keywatch_model_tail_measured_share", "family" => family).set(measured);
        }
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

fn decoder(config: &Config) -> Result<Decoder, AppError> {
    let decoder = Decoder::new(&config.decode)?;
    let SourceConfig { kind, kafka, .. } = &config.source;
    let is_repartitioned = *kind == SourceKind::Kafka && kafka.repartition_topic.is_some();
    Ok(if is_repartitioned { decoder.of_repartitioned() } else { decoder })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use serde_json::json;

    use super::*;

    /// A key that is used every minute, for three hours.
    fn batch() -> RawBatch {
        let partition = PartitionId { topic: "log".into(), partition: 0 };
        let mut batch = RawBatch::new(partition);
        for minute in 0..180 {
            let event = json!({
                "time": 1_767_571_200 + 60 * minute, "key_id": "key", "client_ip": "192.0.2.1",
                "method": "GET", "path": "/v1/orders", "status": 200,
            });
            batch.push(minute, event.to_string().as_bytes());
        }
        batch
    }

    #[test]
    fn how_well_the_models_fit_is_published() {
        let mut config = Config::default();
        // The shipped model does not judge keys without a past.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.json");
        std::fs::copy("models/default.json", &path).unwrap();
        config.models.path = Some(path);
        let mut core = Core::new(&config).unwrap();
        core.process(&batch(), None);
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || core.publish_fit());
        let text = recorder.handle().render();
        for series in [
            "keywatch_model_feature_stability{against=\"peers\",feature=\"volume\"}",
            "keywatch_model_tail_promised_share{family=\"rate\"}",
            "keywatch_model_tail_measured_share{family=\"behaviour\"}",
        ] {
            assert!(text.contains(series), "{series} is not in\n{text}");
        }
    }
}
