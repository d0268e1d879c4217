//! Takes a batch of raw records to judged events and alerts, in one step.

use std::path::Path;
use std::sync::Arc;

use metrics::gauge;

use crate::config::{Config, SourceConfig, SourceKind};
pub use crate::decode::Choice;
use crate::decode::{DecodeError, Decoder, KeyHasher, LeftOut, PublicIds, Rejection};
use crate::detect::calibration::MEASURED;
use crate::detect::outlier::{Model, ModelError};
use crate::enrich::{EnrichError, Enricher};
use crate::event::{EnrichedEvent, EventTime, PartitionId, ShardId};
use crate::record::RawBatch;
use crate::registry::{KeyNews, RegisteredKey, Registry, RegistryError};
use crate::watched::Watched;

use super::{BatchOutcome, EarlierUses, Engine, ReplayLookup};

/// A part of the core that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ScorerError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Enrich(#[from] EnrichError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// The one door to the core, for the service, the backtest, tests and benchmarks.
pub struct Scorer {
    intake: Intake,
    engine: Engine,
    /// The model file. `None`: the model that the program carries, or no model.
    model: Option<Watched<Arc<Model>, ModelError>>,
    registry_file: Option<Watched<Vec<RegisteredKey>, RegistryError>>,
    public_ids: PublicIds,
}

/// The half of a [`Scorer`] that knows nothing of the keys, and may run ahead of the engine.
pub struct Intake {
    decoder: Decoder,
    enricher: Enricher,
}

/// A batch that is decoded and enriched, and not yet judged.
#[derive(Debug)]
pub struct DecodedBatch {
    shard: ShardId,
    partition: PartitionId,
    events: Vec<EnrichedEvent>,
    rejections: Vec<Rejection>,
    fields_left_out: LeftOut,
    skipped: u64,
}

/// A batch that is judged.
#[derive(Debug)]
pub struct ScoredBatch {
    pub partition: PartitionId,
    pub events: Vec<EnrichedEvent>,
    pub rejections: Vec<Rejection>,
    /// The optional fields that could not be used, and are missing in their events.
    pub fields_left_out: LeftOut,
    /// The number of requests that the format leaves out.
    pub skipped: u64,
    pub outcome: BatchOutcome,
}

impl ScoredBatch {
    /// The number of rejected records and parts of records.
    pub fn rejected(&self) -> u64 {
        self.rejections.iter().map(|rejection| rejection.parts).sum()
    }
}

impl DecodedBatch {
    pub fn events(&self) -> &[EnrichedEvent] {
        &self.events
    }

    /// See [`Scorer::judge`].
    pub fn judge(
        self,
        engine: &mut Engine,
        earlier_uses: Option<&EarlierUses>,
        now: Option<EventTime>,
    ) -> ScoredBatch {
        let Self { shard, partition, events, rejections, fields_left_out, skipped } = self;
        let records = (&events[..], &rejections[..]);
        let outcome = engine.process_knowing(earlier_uses, shard, &partition, records, now);
        ScoredBatch { partition, events, rejections, fields_left_out, skipped, outcome }
    }
}

impl Intake {
    /// See [`Scorer::decode`].
    pub fn decode(&mut self, batch: &RawBatch, now: Option<EventTime>) -> DecodedBatch {
        let bound = now.unwrap_or(EventTime::from_micros(i64::MAX));
        let decoded = self.decoder.decode(batch, bound);
        DecodedBatch {
            shard: batch.shard,
            partition: decoded.partition,
            events: self.enricher.enrich(decoded.events),
            rejections: decoded.rejections,
            fields_left_out: decoded.fields_left_out,
            skipped: decoded.skipped,
        }
    }
}

impl Scorer {
    /// # Errors
    /// A decoder setting cannot be used, or a file cannot be read.
    pub fn open(config: &Config) -> Result<Self, ScorerError> {
        let hasher = KeyHasher::new(&config.decode)?;
        let read_keys = move |path: &Path| Registry::keys_of_file(path, &|raw| hasher.hash(raw));
        let registry_file = config.detect.registry_file.as_deref();
        let registry_file = registry_file.map(|path| Watched::open(path, read_keys)).transpose()?;
        let mut engine = Engine::new(&config.detect, &config.policy, Registry::default());
        let mut model = None;
        if config.models.judge_behaviour {
            model =
                config.models.path.as_deref().map(|path| Watched::open(path, read)).transpose()?;
            engine.set_model(match &model {
                Some(file) => Arc::clone(&file.value),
                None => Arc::new(Model::shipped()?),
            });
        }
        let public_ids = PublicIds::default();
        let mut scorer = Self {
            intake: Intake {
                decoder: decoder(config)?.with_public_ids(public_ids.clone()),
                enricher: Enricher::open(&config.enrich)?,
            },
            engine,
            model,
            registry_file,
            public_ids,
        };
        scorer.take_registry_file();
        Ok(scorer)
    }

    /// The public ids of raw keys, for other decoders of this process.
    pub fn public_ids(&self) -> &PublicIds {
        &self.public_ids
    }

    /// Takes over changes of the registry. The next batch is judged by them.
    pub fn learn_keys(&mut self, news: &KeyNews) {
        self.engine.registry_mut().learn(news);
        self.engine.learn_lessons(&news.lessons);
        let hashes = news.keys.iter().filter_map(|key| Some((key.key_hash?, &key.key_id)));
        self.public_ids.extend(hashes);
    }

    fn take_registry_file(&mut self) {
        let Some(file) = &mut self.registry_file else { return };
        // The registry holds the keys; a second copy would only take memory.
        self.engine.registry_mut().set_file(std::mem::take(&mut file.value));
        self.public_ids.replace(self.engine.registry().hashes());
    }

    /// Reads the registry file again if it was replaced. Keeps the old keys on failure.
    pub fn reload_registry(&mut self) {
        let Some(file) = &mut self.registry_file else { return };
        match file.reload_if_replaced() {
            Ok(true) => {
                self.take_registry_file();
                let keys = self.engine.registry().len();
                tracing::info!(keys, "the key registry's file was replaced and read again");
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "keeping the registered keys in use"),
        }
    }

    /// The formats of the logs that were chosen by content.
    pub fn formats(&self) -> Vec<Choice> {
        self.intake.decoder.choices()
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// Decodes and judges a batch.
    ///
    /// `now` is the wall clock: it bounds event times from above and becomes the alerts'
    /// `detected_at`. Without it (in a backtest) event times are not bounded, and alerts are
    /// detected at event time.
    pub fn process(&mut self, batch: &RawBatch, now: Option<EventTime>) -> ScoredBatch {
        let decoded = self.decode(batch, now);
        self.judge(decoded, None, now)
    }

    /// The first half of [`Self::process`]. It uses nothing but the batch.
    pub fn decode(&mut self, batch: &RawBatch, now: Option<EventTime>) -> DecodedBatch {
        self.intake.decode(batch, now)
    }

    /// The halves, for two threads. Batches must be judged in the order in which they are decoded.
    pub fn halves(&mut self) -> (&mut Intake, &mut Engine) {
        (&mut self.intake, &mut self.engine)
    }

    /// Nonces and signatures to look up in the store before the batch is judged.
    pub fn replay_lookups(&self, decoded: &DecodedBatch) -> Vec<ReplayLookup> {
        self.engine.replay_lookups(decoded.shard, &decoded.events)
    }

    /// The second half of [`Self::process`], with the store's answer if it was asked.
    pub fn judge(
        &mut self,
        decoded: DecodedBatch,
        earlier_uses: Option<&EarlierUses>,
        now: Option<EventTime>,
    ) -> ScoredBatch {
        decoded.judge(&mut self.engine, earlier_uses, now)
    }

    /// Reads the model again if its file was replaced. Keeps the old model on failure.
    pub fn reload_model(&mut self) {
        let Some(model) = &mut self.model else { return };
        match model.reload_if_replaced() {
            Ok(true) => {
                self.engine.set_model(Arc::clone(&model.value));
                let version = self.engine.model_version();
                tracing::info!(version, "the model file was replaced and read again");
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "keeping the model in use"),
        }
    }

    /// Reads location databases again if they were replaced. Keeps the old ones on failure.
    pub fn reload_databases(&mut self) {
        match self.intake.enricher.reload_if_replaced() {
            Ok(true) => tracing::info!("location databases were replaced and read again"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "keeping the location databases in use"),
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
}

fn read(path: &Path) -> Result<Arc<Model>, ModelError> {
    Model::read(path).map(Arc::new)
}

fn decoder(config: &Config) -> Result<Decoder, DecodeError> {
    let decoder = Decoder::new(&config.decode)?;
    let SourceConfig { kind, kafka, .. } = &config.source;
    let is_repartitioned = *kind == SourceKind::Kafka && kafka.repartition_topic.is_some();
    Ok(if is_repartitioned { decoder.of_repartitioned() } else { decoder })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use serde_json::json;

    use super::*;

    /// A key that is used every minute for three hours.
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
        let mut scorer = Scorer::open(&config).unwrap();
        scorer.process(&batch(), None);
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || scorer.publish_fit());
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
