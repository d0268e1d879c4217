//! Runs the reading and scoring half of the service: one task that takes one turn after the other.

mod finish;
mod first_look;
mod leaks;
mod leave;
mod resume;
mod score;
mod stuffing;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{OwnedPermit, Receiver, Sender};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use self::finish::Background;
use self::first_look::FirstLook;
use self::leaks::Untold;
use self::resume::Ownerships;
use super::HELD_BATCHES;
use super::batch::{Named, Settled, size};
use super::checkpoints::Checkpoints;
use super::error::AppError;
use super::intake::Intake;
use super::patient::PatientStore;
use super::suspects::{Found, Suspects};
use super::watchdog::Observer;
use super::writer::WriterHandle;
use crate::config::{Config, SourceKind};
use crate::decode::Rejection;
use crate::deliver::Outbox;
use crate::engine::{Engine, ScoredBatch, Scorer};
use crate::record::{RawBatch, RefusedPart};
use crate::registry::KeyNews;
use crate::source::Source;
use crate::telemetry::{Drifted, Fit};

/// Interval at which the task checks health, lags, and the files of the model and the registry.
const PULSE: Duration = Duration::from_secs(1);
/// Interval at which the task checks for revoked partitions. The group waits for their state.
const HURRY: Duration = Duration::from_millis(50);

pub struct Pipeline<S> {
    intake: Intake<S>,
    scorer: Scorer,
    checkpoints: Checkpoints,
    suspects: Suspects,
    ownerships: Ownerships,
    store: PatientStore,
    outbox: Arc<Outbox>,
    writer: WriterHandle,
    observer: Observer,
    news: Receiver<KeyNews>,
    untold: Untold,
    first_look: FirstLook,
    has_transactions: bool,
    policy_version: String,
    /// Whether the source is a log that ends, such as a file.
    is_import: bool,
    retention_days: u32,
    has_warned_of_expired: bool,
    /// Events and rejections that are scored and not settled, and how many there may be before the
    /// next batch is read. A few bytes of an array make an event, so the number of batches bounds
    /// nothing.
    unsettled: usize,
    most_unsettled: usize,
}

/// The next action of the task. Every wait of the pipeline ends in one of these, so that no wait
/// hides another.
enum Turn {
    Shutdown,
    Pulse,
    Reload,
    Hurry,
    Settled(Settled),
    Found(Found),
    Keys(KeyNews),
    /// A raw batch and its place in the writer's queue.
    Score(OwnedPermit<Named<ScoredBatch>>, Box<Named<RawBatch>>),
    Checkpoint,
    /// The source has ended, or the writer has. The writer returns its reason itself.
    End,
}

struct Timers {
    pulse: Interval,
    reload: Interval,
    hurry: Interval,
}

impl Timers {
    fn new(reload: Duration) -> Self {
        let timer = |period| {
            let mut timer = interval(period);
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
            timer
        };
        Self { pulse: timer(PULSE), reload: timer(reload), hurry: timer(HURRY) }
    }
}

/// The parts that a pipeline works with.
pub struct Parts<S> {
    pub source: S,
    pub scorer: Scorer,
    pub store: PatientStore,
    pub outbox: Arc<Outbox>,
    pub writer: WriterHandle,
    pub observer: Observer,
    /// The key registry so far, and changes of it.
    pub keys: KeyNews,
    pub news: Receiver<KeyNews>,
}

impl<S: Source> Pipeline<S> {
    pub fn new(config: &Config, parts: Parts<S>) -> Self {
        let Parts { source, scorer, store, outbox, writer, observer, keys, news } = parts;
        let mut untold = Untold::default();
        untold.learn(&keys);
        Self {
            intake: Intake::new(source, Arc::clone(store.store())),
            scorer,
            checkpoints: Checkpoints::new(config, Arc::clone(store.store())),
            suspects: Suspects::new(Arc::clone(store.store())),
            ownerships: Ownerships::default(),
            store,
            outbox,
            writer,
            observer,
            news,
            untold,
            first_look: FirstLook::new(config),
            has_transactions: config.source.kafka.repartition_topic.is_some(),
            policy_version: config.policy.version.clone(),
            is_import: matches!(config.source.kind, SourceKind::File | SourceKind::Stdin),
            retention_days: config.clickhouse.raw_retention_days,
            has_warned_of_expired: false,
            unsettled: 0,
            most_unsettled: config.source.batch_records.saturating_mul(HELD_BATCHES),
        }
    }

    /// Takes turns until `shutdown`, the end of the source, or the end of the writer.
    ///
    /// # Errors
    /// Errors that a retry cannot fix.
    pub async fn turn_until(
        &mut self,
        shutdown: &CancellationToken,
        reload: Duration,
    ) -> Result<(), AppError> {
        let mut timers = Timers::new(reload);
        loop {
            match self.next_turn(shutdown, &mut timers).await? {
                Turn::Shutdown | Turn::End => return Ok(()),
                Turn::Pulse => {
                    self.pulse();
                    let raised = shutdown.run_until_cancelled(self.raise_leaks()).await;
                    raised.transpose()?;
                }
                Turn::Reload => {
                    self.scorer.reload_databases();
                    self.scorer.publish_fit();
                }
                Turn::Hurry => self.let_go(),
                Turn::Checkpoint => self.checkpoints.turn(self.scorer.engine_mut()),
                Turn::Settled(settled) => {
                    self.observer.note(&settled);
                    self.settle(settled).await?;
                }
                Turn::Found(found) => {
                    let judged = shutdown.run_until_cancelled(self.judge_found(found)).await;
                    judged.transpose()?;
                }
                Turn::Keys(news) => {
                    self.scorer.learn_keys(&news);
                    self.untold.learn(&news);
                }
                Turn::Score(place, batch) => {
                    let scored = shutdown.run_until_cancelled(self.score(*batch)).await;
                    if let Some(scored) = scored.transpose()?.flatten() {
                        self.unsettled += size(&scored.batch);
                        place.send(scored);
                    }
                    self.checkpoints.turn(self.scorer.engine_mut());
                }
            }
        }
    }

    async fn next_turn(
        &mut self,
        shutdown: &CancellationToken,
        timers: &mut Timers,
    ) -> Result<Turn, AppError> {
        Ok(tokio::select! {
            biased;
            () = shutdown.cancelled() => Turn::Shutdown,
            _ = timers.pulse.tick() => Turn::Pulse,
            _ = timers.reload.tick() => Turn::Reload,
            _ = timers.hurry.tick() => Turn::Hurry,
            settled = self.writer.settled.recv() => settled.map_or(Turn::End, Turn::Settled),
            found = self.suspects.next() => Turn::Found(found),
            Some(news) = self.news.recv() => Turn::Keys(news),
            next = next_batch(&mut self.intake, &self.writer.batches),
                if self.unsettled < self.most_unsettled => match next? {
                Some((place, batch)) => Turn::Score(place, Box::new(batch)),
                None => Turn::End,
            },
            () = self.checkpoints.is_ready() => Turn::Checkpoint,
        })
    }

    fn pulse(&mut self) {
        self.store.report(self.intake.source.trouble());
        self.store.note_fit(fit(self.scorer.engine()));
        let lags = self.intake.source.group().map(|group| group.lags());
        self.observer.publish(lags.unwrap_or_default());
        self.scorer.reload_model();
        self.scorer.reload_registry();
        self.first_look.pulse();
        self.restrain();
        self.forget_lost_shards();
        self.checkpoints.turn(self.scorer.engine_mut());
    }

    fn restrain(&mut self) {
        if let Some(families) = self.observer.restrained_since() {
            warn!(?families, "these families of detectors are restrained");
            self.scorer.engine_mut().restrain(families);
        }
    }

    async fn settle(&mut self, settled: Settled) -> Result<(), AppError> {
        match settled {
            Settled::Stored { partition, last_offset, rejections, size, .. } => {
                self.unsettled = self.unsettled.saturating_sub(size);
                self.checkpoints.note_stored(&partition, last_offset);
                for Rejection { position, reason, detail, .. } in &rejections {
                    let (offset, index) = (position.offset, position.index);
                    let refused = RefusedPart { offset, index, reason: reason.as_str(), detail };
                    self.intake.source.note_refused(&refused);
                }
                Ok(self.intake.source.commit(&partition, last_offset).await?)
            }
            Settled::TakenOver { partition, ownership, size } => {
                self.unsettled = self.unsettled.saturating_sub(size);
                self.checkpoints.note_lost(&partition);
                self.intake.give_up(&partition, ownership)
            }
        }
    }

    /// Whether this process reads a partition of this number.
    fn owns(&self, number: i32) -> bool {
        self.intake.source.group().is_none_or(|group| group.owns(number))
    }
}

fn fit(engine: &Engine) -> Fit {
    let drift = engine.feature_drift().into_iter().map(|feature| Drifted {
        against: feature.against,
        words: feature.words,
        stability_index: feature.stability_index,
        windows: feature.windows,
    });
    Fit { model_version: engine.model_version().to_owned(), drift: drift.collect() }
}

/// Reserves a place in the queue first, so that a batch is only read when it can be passed on.
async fn next_batch<S: Source>(
    intake: &mut Intake<S>,
    queue: &Sender<Named<ScoredBatch>>,
) -> Result<Option<(OwnedPermit<Named<ScoredBatch>>, Named<RawBatch>)>, AppError> {
    let Ok(place) = queue.clone().reserve_owned().await else { return Ok(None) };
    Ok(intake.next().await?.map(|batch| (place, batch)))
}
