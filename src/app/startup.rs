//! Opens the source, prepares the store, and composes the tasks of the service.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::clerk::Clerk;
use super::dead_letters::DeadLetters;
use super::error::AppError;
use super::key_feed::KeyFeed;
use super::notary;
use super::owners::Owners;
use super::patient::PatientStore;
use super::pipeline::{Background, Parts, Pipeline};
use super::presence::Presence;
use super::registrar::{Gate, Opener, Registrar};
use super::requests;
use super::responder::Responder;
use super::watchdog::{Observer, Watchdog};
use super::writer::{Summary, Writer};
use crate::config::{Config, SourceKind};
use crate::decode::{self, Decoder, PublicIds};
use crate::deliver::{self, Casebook, ChannelError, Outbox};
use crate::engine::Scorer;
use crate::record::BatchLimits;
use crate::registry::KeyNews;
use crate::source::{FileReader, FileSource, HttpSource, KafkaSource, Source, StdinSource};
use crate::store::{Store, StoreError};
use crate::telemetry::Health;

/// Runs the service until its source ends or `shutdown` is cancelled.
///
/// Waits while ClickHouse or Kafka is away.
///
/// # Errors
/// Errors that a retry cannot fix: configuration, credentials, unreadable files.
pub async fn run(
    config: &Config,
    health: &Health,
    shutdown: &CancellationToken,
) -> Result<Summary, AppError> {
    let limits = (&config.source).into();
    let outbox = |store: &Arc<Store>, casebook: &Arc<Casebook>| {
        deliver::start(config, store, casebook, Owners::new(config, store))
    };
    match config.source.kind {
        SourceKind::Kafka => {
            // Reports configuration errors before it starts a thread that waits for the registry.
            let scorer = Scorer::open(config)?;
            let gate = Gate::default();
            let source = kafka(config, limits, scorer.public_ids(), &gate)?;
            let opener = gate.opener();
            run_with(source, scorer, opener, config, health, shutdown, outbox).await
        }
        SourceKind::File => {
            let reader = FileReader::open(config.source.file.paths.clone(), limits)?;
            run_from(FileSource::new(reader), config, health, shutdown, outbox).await
        }
        SourceKind::Stdin => {
            run_from(StdinSource::new(limits), config, health, shutdown, outbox).await
        }
        SourceKind::Http => {
            let find = requests::finder(&config.clickhouse);
            let source = HttpSource::bind(&config.source.http, limits, find).await?;
            run_from(source, config, health, shutdown, outbox).await
        }
    }
}

fn kafka(
    config: &Config,
    limits: BatchLimits,
    public_ids: &PublicIds,
    gate: &Gate,
) -> Result<KafkaSource, AppError> {
    let decoder = Decoder::new(&config.decode)?.with_public_ids(public_ids.clone());
    let gate = gate.clone();
    let rekey = Box::new(move |place: &str, payload: &[u8]| {
        gate.wait();
        decoder.rekey(place, payload)
    });
    Ok(KafkaSource::with_repartition(&config.source.kafka, limits, rekey)?)
}

/// Does the same with a source and channels of the caller. Calls `outbox` when the store is ready.
///
/// # Errors
/// As [`run`].
pub async fn run_from<S: Source>(
    source: S,
    config: &Config,
    health: &Health,
    shutdown: &CancellationToken,
    outbox: impl FnOnce(&Arc<Store>, &Arc<Casebook>) -> Result<Outbox, ChannelError>,
) -> Result<Summary, AppError> {
    // Reports configuration errors before it waits for any server.
    let scorer = Scorer::open(config)?;
    let opener = Gate::default().opener();
    run_with(source, scorer, opener, config, health, shutdown, outbox).await
}

/// Drops `opener` when the scorer knows the registry.
async fn run_with<S: Source>(
    source: S,
    mut scorer: Scorer,
    opener: Opener,
    config: &Config,
    health: &Health,
    shutdown: &CancellationToken,
    outbox: impl FnOnce(&Arc<Store>, &Arc<Casebook>) -> Result<Outbox, ChannelError>,
) -> Result<Summary, AppError> {
    decode::require_named(&config.decode)?;
    let feed = KeyFeed::open(config)?;
    let dead_letters = DeadLetters::start(&config.source.kafka)?;
    let store = Arc::new(Store::new(&config.clickhouse));
    let patient = PatientStore::new(Arc::clone(&store), health.clone());
    let prepared = patient.beat_during(prepare(&store));
    let (clerk, registrar, keys, news) = match shutdown.run_until_cancelled(prepared).await {
        Some(prepared) => prepared?,
        None => return Ok(Summary::default()),
    };
    scorer.learn_keys(&keys);
    drop(opener);
    let outbox = Arc::new(outbox(&store, clerk.casebook())?);
    let (observer, observed) = Observer::new();
    let background = Background {
        watchdog: Watchdog::start(config, &store, &outbox, observed),
        clerk: clerk.start(),
        notary: notary::start(config, scorer.engine().model_version(), &store),
        registrar: registrar.start(),
        feed: feed.map(|feed| feed.start(&store)),
        responder: Responder::start(config, &store, &outbox),
        presence: Presence::start(&store, &outbox),
    };
    let writer = Writer::start(store, Arc::clone(&outbox), dead_letters);
    let store = patient;
    let parts = Parts { source, scorer, store, outbox, writer, observer, keys, news };
    let mut pipeline = Pipeline::new(config, parts);

    let reload = Duration::from_secs(config.enrich.reload_seconds.max(1));
    let outcome = pipeline.turn_until(shutdown, reload).await;
    let within = Duration::from_secs(config.service.shutdown_seconds);
    let hurry = if outcome.is_ok() { shutdown.clone() } else { cancelled() };
    let finished = pipeline.finish(background, &hurry, within).await?;
    outcome?;
    Ok(finished)
}

fn cancelled() -> CancellationToken {
    let token = CancellationToken::new();
    token.cancel();
    token
}

type Prepared = (Clerk, Registrar, KeyNews, mpsc::Receiver<KeyNews>);

/// Waits for ClickHouse, brings its tables up to date, says that this process is there, and reads
/// what people did and which keys are registered.
async fn prepare(store: &Arc<Store>) -> Result<Prepared, StoreError> {
    store.wait_until_ready().await?;
    store.until_available(|| store.migrate()).await?;
    // Before the first alert, which another process could not inherit without this.
    store.until_available(|| store.beat(false)).await?;
    let clerk = Clerk::open(store).await?;
    let (registrar, keys, news) = Registrar::open(store).await?;
    Ok((clerk, registrar, keys, news))
}
