//! The composition root: the one place that knows both the core and the I/O.
//!
//! ```text
//! source --batch--> [decode, enrich, engine] --scored--> writer --alerts--> outbox
//!   ^                                                       |
//!   +------------------------ stored offsets ---------------+
//! ```
//!
//! Two tasks: while some batches are being stored, the next one is scored. The channel
//! between them is short, so that a slow store slows reading down and memory stays flat.

mod blind;
mod core;
mod intake;
mod merged;
mod model;
mod resume;
mod retrospect;
mod snapshots;
mod suspects;
mod tell;
mod writer;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::{Config, SourceKind};
use crate::decode::{DecodeError, Decoder};
use crate::deliver::kafka::TopicError;
use crate::deliver::{self, ChannelError, Outbox};
use crate::detect::outlier::ModelError;
use crate::enrich::EnrichError;
use crate::event::PartitionId;
use crate::registry::RegistryError;
use crate::source::{
    FileReader, FileSource, HttpSource, KafkaSource, Source, SourceError, StdinSource,
};
use crate::store::{Store, StoreError};
use crate::telemetry::{Health, Part};

use self::blind::{Lookout, Observation};
pub use self::core::{Core, Decoded, Processed};
use self::intake::{Intake, Work};
pub use self::model::{model_in_use, read_model};
use self::resume::Owned;
pub use self::retrospect::Retrospect;
use self::snapshots::Snapshots;
use self::suspects::Suspects;
use self::writer::{Scored, Settled, Writer};

/// Batches between scoring and storing.
const QUEUED_BATCHES: usize = 2;

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Enrich(#[from] EnrichError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("source.kafka.dead_letter_topic: {0}")]
    DeadLetters(#[from] TopicError),
    #[error(
        "{topic}/{partition} was claimed by another process (see the table partition_owners). \
         Let one consumer group, or one import, write a topic or file to a database"
    )]
    TakenOver { topic: String, partition: i32 },
    #[error("the writer stopped: {0}")]
    Writer(#[from] tokio::task::JoinError),
}

/// What went through, said at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub batches: u64,
    pub events: u64,
    pub rejections: u64,
    pub alerts: u64,
}

/// Runs the service until its source ends or `shutdown` is cancelled.
///
/// Waits for ClickHouse and Kafka for as long as they are away.
///
/// # Errors
/// What waiting does not mend: configuration, credentials, unreadable files.
pub async fn run(
    config: &Config,
    health: &Health,
    shutdown: &CancellationToken,
) -> Result<Summary, AppError> {
    let limits = (&config.source).into();
    let outbox = |store: &Arc<Store>| deliver::start(config, store);
    match config.source.kind {
        SourceKind::Kafka => {
            let decoder = Decoder::new(&config.decode)?;
            let rekey = Box::new(move |place: &str, payload: &[u8]| decoder.rekey(place, payload));
            let source = KafkaSource::with_repartition(&config.source.kafka, limits, rekey)?;
            run_from(source, config, health, shutdown, outbox).await
        }
        SourceKind::File => {
            let reader = FileReader::open(config.source.file.paths.clone(), limits)?;
            run_from(FileSource::new(reader), config, health, shutdown, outbox).await
        }
        SourceKind::Stdin => {
            run_from(StdinSource::new(limits), config, health, shutdown, outbox).await
        }
        SourceKind::Http => {
            let source = HttpSource::bind(&config.source.http, limits).await?;
            run_from(source, config, health, shutdown, outbox).await
        }
    }
}

/// The same with a source and channels of the caller's. `outbox` is called when the
/// store is ready.
///
/// # Errors
/// As [`run`].
pub async fn run_from<S: Source>(
    source: S,
    config: &Config,
    health: &Health,
    shutdown: &CancellationToken,
    outbox: impl FnOnce(&Arc<Store>) -> Result<Outbox, ChannelError>,
) -> Result<Summary, AppError> {
    // Whatever is wrong with the configuration is said before anything is waited for.
    let core = Core::new(config)?;
    let dead_letters = writer::dead_letter_producer(&config.source.kafka)?;
    let store = Arc::new(Store::new(&config.clickhouse));
    let vitals = Vitals { health: health.clone(), store: Arc::clone(&store) };
    tokio::select! {
        () = shutdown.cancelled() => return Ok(Summary::default()),
        outcome = vitals.keep_beating(prepare(&store)) => outcome?,
    }
    let outbox = Arc::new(outbox(&store)?);
    let (scored, queue) = mpsc::channel(QUEUED_BATCHES);
    let (settled, done) = mpsc::channel(QUEUED_BATCHES);
    let writer = Writer::new(Arc::clone(&store), Arc::clone(&outbox), dead_letters, settled);
    let writer = tokio::spawn(writer.run(queue));
    let observation = Observation::default();
    let (observations, observed) = watch::channel(Observation::default());
    let lookout = Lookout::new(config, Arc::clone(&store), Arc::clone(&outbox), observed);
    let lookout = tokio::spawn(lookout.run());
    let mut pipeline = Pipeline {
        intake: Intake::new(source, Arc::clone(&store)),
        core,
        snapshots: Snapshots::new(config, Arc::clone(&store)),
        suspects: Suspects::new(Arc::clone(&store)),
        owned: Owned::new(),
        is_unkeyed_told: false,
        has_transactions: config.source.kafka.repartition_topic.is_some(),
        begins_anew: false,
        leaving: Vec::new(),
        store,
        scored,
        done,
        outbox,
        observation,
        observations,
        vitals,
    };

    let reload = Duration::from_secs(config.enrich.reload_seconds.max(1));
    let outcome = pipeline.turn_until(shutdown, reload).await;
    lookout.abort();
    // It holds the outbox; that it was cut off is what was wanted.
    let _ = lookout.await;
    let within = Duration::from_secs(config.service.shutdown_seconds);
    let finished = pipeline.finish(writer, within).await?;
    outcome?;
    Ok(finished)
}

/// Waits for ClickHouse and brings its tables up to date.
async fn prepare(store: &Store) -> Result<(), StoreError> {
    store.wait_until_ready().await?;
    store.until_available(|| store.migrate()).await?;
    Ok(())
}

/// How often health is looked at.
const PULSE: Duration = Duration::from_secs(1);

/// What `/healthz` and `/readyz` are told.
struct Vitals {
    health: Health,
    store: Arc<Store>,
}

impl Vitals {
    /// Waiting for a server is not hanging.
    async fn keep_beating<T>(&self, work: impl Future<Output = T>) -> T {
        let mut pulse = interval(PULSE);
        tokio::pin!(work);
        loop {
            tokio::select! {
                outcome = &mut work => return outcome,
                _ = pulse.tick() => {
                    self.health.beat();
                    if let Some(reason) = self.store.trouble() {
                        self.health.waiting(Part::ClickHouse, reason);
                    }
                }
            }
        }
    }

    fn report(&self, source_trouble: Option<String>) {
        self.health.beat();
        let parts = [(Part::Source, source_trouble), (Part::ClickHouse, self.store.trouble())];
        for (part, trouble) in parts {
            match trouble {
                Some(reason) => self.health.waiting(part, reason),
                None => self.health.ready(part),
            }
        }
    }
}

/// How often is looked whether partitions leave, for whose state the group waits.
const HURRY: Duration = Duration::from_millis(50);

/// The reading and scoring half.
struct Pipeline<S> {
    intake: Intake<S>,
    core: Core,
    snapshots: Snapshots,
    suspects: Suspects,
    owned: Owned,
    is_unkeyed_told: bool,
    has_transactions: bool,
    /// The shard of the last ownership that began has state that is not usable.
    begins_anew: bool,
    /// Partitions that are kept until their state is saved.
    leaving: Vec<PartitionId>,
    store: Arc<Store>,
    scored: mpsc::Sender<Scored>,
    done: mpsc::Receiver<Settled>,
    outbox: Arc<Outbox>,
    /// What the lookout sees, as of the last pulse.
    observation: Observation,
    observations: watch::Sender<Observation>,
    vitals: Vitals,
}

impl<S: Source> Pipeline<S> {
    /// Turns until `shutdown`, the end of the source, or the end of the writer, which tells
    /// its reason itself. Every wait is one of these branches, so that none hides another.
    async fn turn_until(
        &mut self,
        shutdown: &CancellationToken,
        reload: Duration,
    ) -> Result<(), AppError> {
        let mut pulse = interval(PULSE);
        let mut reloads = interval(reload);
        let mut hurry = interval(HURRY);
        for timer in [&mut pulse, &mut reloads, &mut hurry] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                _ = pulse.tick() => {
                    self.vitals.report(self.intake.source.trouble());
                    self.observation.lags = self.intake.source.lags();
                    self.observations.send_replace(self.observation.clone());
                    self.core.reload_model();
                    self.forget_lost_shards();
                    self.snapshots.turn(&mut self.core);
                }
                _ = reloads.tick() => {
                    self.core.reload_databases();
                    self.core.publish_fit();
                }
                _ = hurry.tick() => self.let_go(),
                settled = self.done.recv() => match settled {
                    Some(settled) => {
                        self.observation.note(&settled);
                        settle(&mut self.intake, &mut self.snapshots, settled).await?;
                    }
                    None => return Ok(()),
                },
                found = self.suspects.next() => tokio::select! {
                    () = shutdown.cancelled() => return Ok(()),
                    judged = self.judge_found(found) => judged?,
                },
                next = next_batch(&mut self.intake, &self.scored) => match next? {
                    Some((place, work)) => tokio::select! {
                        () = shutdown.cancelled() => return Ok(()),
                        scored = self.score(work) => {
                            if let Some(scored) = scored? {
                                place.send(scored);
                            }
                            self.snapshots.turn(&mut self.core);
                        }
                    },
                    None => return Ok(()),
                },
                () = self.snapshots.is_ready() => self.snapshots.turn(&mut self.core),
            }
        }
    }

    /// Lets the writer store what is under way, commits it, leaves the source: all `within`
    /// the bound, of which storing may take half, and saving state half of what is left.
    async fn finish(
        mut self,
        writer: JoinHandle<Result<Summary, AppError>>,
        within: Duration,
    ) -> Result<Summary, AppError> {
        let deadline = Instant::now() + within;
        let abort = writer.abort_handle();
        // Closed: the writer ends when it has stored what it was given.
        self.scored = mpsc::channel(1).0;
        let drain = async {
            while let Some(settled) = self.done.recv().await {
                settle(&mut self.intake, &mut self.snapshots, settled).await?;
            }
            writer.await?
        };
        let drained = tokio::time::timeout(within / 2, drain).await;
        abort.abort();
        if matches!(drained, Ok(Ok(_))) {
            let rest = deadline.saturating_duration_since(Instant::now());
            self.snapshots.finish(&mut self.core, rest / 2).await;
        }
        let rest = deadline.saturating_duration_since(Instant::now());
        let closed = self.intake.source.close(rest);
        let summary = match drained {
            Ok(drained) => drained?,
            Err(_) => {
                warn!("not everything could be stored in time; it is read again at the next start");
                Summary::default()
            }
        };
        // A writer that was cut off may still hold it; what it has not delivered is in the store.
        let outbox = Arc::into_inner(self.outbox).unwrap_or_default();
        let (closed, _) = tokio::join!(closed, outbox.shutdown(rest));
        if let Err(error) = closed {
            warn!(%error, "left the source without an orderly end");
        }
        Ok(summary)
    }
}

async fn settle<S: Source>(
    intake: &mut Intake<S>,
    snapshots: &mut Snapshots,
    settled: Settled,
) -> Result<(), AppError> {
    match settled {
        Settled::Stored { partition, last_offset, .. } => {
            snapshots.note_stored(&partition, last_offset);
            Ok(intake.source.commit(&partition, last_offset).await?)
        }
        Settled::TakenOver { partition, ownership } => {
            snapshots.note_lost(&partition);
            intake.give_up(&partition, ownership)
        }
    }
}

/// A place in the queue first, so that a batch is only taken when it can be passed on.
async fn next_batch<S: Source>(
    intake: &mut Intake<S>,
    scored: &mpsc::Sender<Scored>,
) -> Result<Option<(OwnedPermit<Scored>, Work)>, AppError> {
    let Ok(place) = scored.clone().reserve_owned().await else { return Ok(None) };
    Ok(intake.next().await?.map(|work| (place, work)))
}
