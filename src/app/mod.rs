//! The composition root: the one place that knows both the core and the I/O.
//!
//! ```text
//! source --batch--> [decode, enrich, engine] --processed--> writer --alerts--> outbox
//!   ^                                                          |
//!   +------------------------ stored offsets -----------------+
//! ```
//!
//! Two tasks: while one batch is being stored, the next one is scored. The channel
//! between them is short, so that a slow store slows reading down and memory stays flat.

mod core;
mod intake;
mod resume;
mod snapshots;
mod writer;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::alert::Alert;
use crate::config::{Config, SourceKind};
use crate::decode::DecodeError;
use crate::deliver::kafka::TopicError;
use crate::deliver::{self, ChannelError, Outbox};
use crate::enrich::EnrichError;
use crate::event::EventTime;
use crate::registry::RegistryError;
use crate::source::{
    FileReader, FileSource, HttpSource, KafkaSource, RawBatch, Source, SourceError, StdinSource,
};
use crate::store::{Store, StoreError};
use crate::telemetry::{Health, Part};

pub use self::core::{Core, Processed};
use self::intake::Intake;
use self::resume::Owned;
use self::snapshots::Snapshots;
use self::writer::{Stored, Writer};

/// Batches between scoring and storing.
const QUEUED_BATCHES: usize = 2;

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Enrich(#[from] EnrichError),
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
            let source = KafkaSource::new(&config.source.kafka, limits)?;
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
    let outbox = outbox(&store)?;
    let (processed, queue) = mpsc::channel(QUEUED_BATCHES);
    let (stored, done) = mpsc::channel(QUEUED_BATCHES);
    let writer = Writer::new(Arc::clone(&store), outbox, dead_letters, stored);
    let writer = tokio::spawn(writer.run(queue));
    let snapshots = Snapshots::new(config, Arc::clone(&store));
    let intake = Intake::new(source, Arc::clone(&store));
    let owned = Owned::new();
    let mut pipeline = Pipeline {
        intake,
        core,
        snapshots,
        owned,
        late_alerts: Vec::new(),
        store,
        processed,
        done,
        vitals,
    };

    let reload = Duration::from_secs(config.enrich.reload_seconds.max(1));
    let outcome = pipeline.turn_until(shutdown, reload).await;
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

/// The reading and scoring half.
struct Pipeline<S> {
    intake: Intake<S>,
    core: Core,
    snapshots: Snapshots,
    owned: Owned,
    late_alerts: Vec<Alert>,
    store: Arc<Store>,
    processed: mpsc::Sender<Processed>,
    done: mpsc::Receiver<Stored>,
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
        for timer in [&mut pulse, &mut reloads] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                _ = pulse.tick() => {
                    self.vitals.report(self.intake.source.trouble());
                    self.forget_lost_shards();
                    self.snapshots.turn(&mut self.core);
                }
                _ = reloads.tick() => self.core.reload_databases(),
                stored = self.done.recv() => match stored {
                    Some(Stored { partition, last_offset }) => {
                        self.snapshots.note_stored(&partition, last_offset);
                        self.intake.source.commit(&partition, last_offset).await?;
                    }
                    None => return Ok(()),
                },
                next = next_batch(&mut self.intake, &self.processed) => match next? {
                    Some((place, batch)) => tokio::select! {
                        () = shutdown.cancelled() => return Ok(()),
                        scored = self.score(batch) => {
                            if let Some(processed) = scored? {
                                place.send(processed);
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
        self,
        writer: JoinHandle<Result<(Outbox, Summary), StoreError>>,
        within: Duration,
    ) -> Result<Summary, AppError> {
        let deadline = Instant::now() + within;
        let Self { intake, mut core, mut snapshots, processed, mut done, .. } = self;
        let mut source = intake.source;
        drop(processed);
        let abort = writer.abort_handle();
        let drain = async {
            while let Some(stored) = done.recv().await {
                snapshots.note_stored(&stored.partition, stored.last_offset);
                source.commit(&stored.partition, stored.last_offset).await?;
            }
            Ok::<_, AppError>(writer.await??)
        };
        let drained = tokio::time::timeout(within / 2, drain).await;
        abort.abort();
        if matches!(drained, Ok(Ok(_))) {
            let rest = deadline.saturating_duration_since(Instant::now());
            snapshots.finish(&mut core, rest / 2).await;
        }
        let rest = deadline.saturating_duration_since(Instant::now());
        let closed = source.close(rest);
        let (outbox, summary) = match drained {
            Ok(drained) => drained?,
            Err(_) => {
                warn!("not everything could be stored in time; it is read again at the next start");
                (Outbox::default(), Summary::default())
            }
        };
        let (closed, _) = tokio::join!(closed, outbox.shutdown(rest));
        if let Err(error) = closed {
            warn!(%error, "left the source without an orderly end");
        }
        Ok(summary)
    }
}

/// A place in the queue first, so that a batch is only taken when it can be passed on.
async fn next_batch<S: Source>(
    intake: &mut Intake<S>,
    processed: &mpsc::Sender<Processed>,
) -> Result<Option<(OwnedPermit<Processed>, RawBatch)>, AppError> {
    let Ok(place) = processed.clone().reserve_owned().await else { return Ok(None) };
    Ok(intake.next().await?.map(|batch| (place, batch)))
}

/// Scoring takes the thread for milliseconds: the runtime is told.
fn process(core: &mut Core, batch: &RawBatch) -> Processed {
    let processed = tokio::task::block_in_place(|| core.process(batch, Some(EventTime::now())));
    counter!("keywatch_events_total").increment(processed.events.len() as u64);
    counter!("keywatch_rejections_total").increment(processed.rejections.len() as u64);
    processed
}
