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
mod resume;
mod writer;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::{Config, SourceKind};
use crate::decode::DecodeError;
use crate::deliver::kafka::TopicError;
use crate::deliver::{self, ChannelError, Outbox};
use crate::enrich::EnrichError;
use crate::event::EventTime;
use crate::source::{
    FileReader, FileSource, HttpSource, KafkaSource, RawBatch, Source, SourceError, StdinSource,
};
use crate::store::{Store, StoreError};
use crate::telemetry::{Health, Part};

pub use self::core::{Core, Processed};
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
            info!(address = %source.local_address(), "taking events at POST /v1/events");
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
    let core = Core::new(config)?;
    let store = Arc::new(Store::new(&config.clickhouse));
    let ready = async {
        store.wait_until_ready().await?;
        store.migrate().await
    };
    tokio::select! {
        () = shutdown.cancelled() => return Ok(Summary::default()),
        outcome = keep_beating(health, ready) => { outcome?; }
    }
    health.ready(Part::ClickHouse);
    let outbox = outbox(&store)?;
    let (processed, queue) = mpsc::channel(QUEUED_BATCHES);
    let (stored, done) = mpsc::channel(QUEUED_BATCHES);
    let writer = Writer::new(config, Arc::clone(&store), outbox, stored)?;
    let writer = tokio::spawn(writer.run(queue));
    let mut pipeline = Pipeline { source, core, store, processed, done, health: health.clone() };

    let outcome = pipeline.turn_until(shutdown).await;
    let within = Duration::from_secs(config.service.shutdown_seconds);
    let finished = pipeline.finish(writer, within).await?;
    outcome?;
    Ok(finished)
}

/// Waiting for a server is not hanging.
async fn keep_beating<T>(health: &Health, work: impl Future<Output = T>) -> T {
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    tokio::pin!(work);
    loop {
        tokio::select! {
            outcome = &mut work => return outcome,
            _ = ticks.tick() => health.beat(),
        }
    }
}

/// The reading and scoring half.
struct Pipeline<S> {
    source: S,
    core: Core,
    store: Arc<Store>,
    processed: mpsc::Sender<Processed>,
    done: mpsc::Receiver<Stored>,
    health: Health,
}

/// What a turn of the pipeline waits for.
enum Turn<'a> {
    Batch(mpsc::Permit<'a, Processed>, RawBatch),
    Stored(Stored),
    Idle,
    SourceEnded,
    WriterEnded,
}

impl<S: Source> Pipeline<S> {
    async fn turn_until(&mut self, shutdown: &CancellationToken) -> Result<(), AppError> {
        let mut resume = resume::Resume::default();
        self.health.ready(Part::Source);
        loop {
            self.health.beat();
            let turn = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                stored = self.done.recv() => stored.map_or(Turn::WriterEnded, Turn::Stored),
                turn = next_batch(&mut self.source, &self.processed) => turn?,
                () = tokio::time::sleep(Duration::from_secs(5)) => Turn::Idle,
            };
            match turn {
                Turn::Batch(permit, batch) => {
                    let mut batches = resume.cut(&self.store, batch).await?.into_iter();
                    if let Some(first) = batches.next() {
                        permit.send(process(&mut self.core, &first));
                    }
                    for batch in batches {
                        let processed = process(&mut self.core, &batch);
                        if self.processed.send(processed).await.is_err() {
                            return Ok(());
                        }
                    }
                }
                Turn::Stored(stored) => {
                    self.source.commit(&stored.partition, stored.last_offset).await?;
                }
                Turn::Idle => self.core.reload_databases(),
                Turn::SourceEnded | Turn::WriterEnded => return Ok(()),
            }
        }
    }

    /// Lets the writer store what is under way, commits it, leaves the source.
    async fn finish(
        self,
        writer: tokio::task::JoinHandle<Result<(Outbox, Summary), StoreError>>,
        within: Duration,
    ) -> Result<Summary, AppError> {
        let Self { mut source, processed, mut done, .. } = self;
        drop(processed);
        let abort = writer.abort_handle();
        let drain = async {
            while let Some(stored) = done.recv().await {
                source.commit(&stored.partition, stored.last_offset).await?;
            }
            Ok::<_, AppError>(writer.await??)
        };
        let Ok(drained) = tokio::time::timeout(within, drain).await else {
            abort.abort();
            warn!("not everything could be stored in time; it is read again at the next start");
            source.close(within).await?;
            return Ok(Summary::default());
        };
        let (outbox, summary) = drained?;
        source.close(within).await?;
        for remaining in outbox.shutdown(within).await {
            info!(?remaining, "alerts left to deliver at the next start");
        }
        Ok(summary)
    }
}

/// A place in the queue first, so that a batch is only taken when it can be passed on.
async fn next_batch<'a, S: Source>(
    source: &mut S,
    processed: &'a mpsc::Sender<Processed>,
) -> Result<Turn<'a>, AppError> {
    let Ok(permit) = processed.reserve().await else { return Ok(Turn::WriterEnded) };
    let batch = source.next().await?;
    Ok(batch.map_or(Turn::SourceEnded, |batch| Turn::Batch(permit, batch)))
}

/// Scoring takes the thread for milliseconds: the runtime is told.
fn process(core: &mut Core, batch: &RawBatch) -> Processed {
    let processed = tokio::task::block_in_place(|| core.process(batch, Some(EventTime::now())));
    counter!("keywatch_events_total").increment(processed.events.len() as u64);
    counter!("keywatch_rejections_total").increment(processed.rejections.len() as u64);
    processed
}
