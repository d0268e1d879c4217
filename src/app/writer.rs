//! Stores scored batches, passes their alerts to the outbox, and then reports them to the source,
//! in this order.
//!
//! Batches of one partition are stored one after the other, and batches of different partitions in
//! parallel: a batch spends most of its time waiting for answers.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use metrics::counter;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tracing::warn;

use crate::deliver::Outbox;
use crate::engine::ScoredBatch;
use crate::event::PartitionId;
use crate::store::{Store, StoreError, StoredBatch, Written};

use super::announce::announce;
use super::batch::{Named, Settled, size};
use super::dead_letters::DeadLetters;
use super::error::AppError;

/// Partitions whose batches are stored at the same time.
const BATCHES_UNDER_WAY: usize = 4;
/// Scored batches that wait for an earlier one of their partition.
const BATCHES_WAITING: usize = 4;

/// Batches queued between scoring and storing.
const QUEUED_BATCHES: usize = 2;

type Scored = Named<ScoredBatch>;

/// The volumes of a run, reported at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub batches: u64,
    pub events: u64,
    pub rejections: u64,
    pub alerts: u64,
}

/// The pipeline's handle to the writer. The writer ends when `batches` is closed and all its
/// batches are stored.
pub struct WriterHandle {
    pub batches: mpsc::Sender<Named<ScoredBatch>>,
    pub settled: mpsc::Receiver<Settled>,
    pub task: JoinHandle<Result<Summary, AppError>>,
}

pub struct Writer {
    store: Arc<Store>,
    outbox: Arc<Outbox>,
    dead_letters: Option<DeadLetters>,
    settled: mpsc::Sender<Settled>,
    waiting: VecDeque<Scored>,
    /// At most one batch of each partition.
    under_way: JoinSet<Result<(Scored, Written), StoreError>>,
    busy: Vec<PartitionId>,
    /// The last ownership that another process has taken over, by partition. Its remaining batches
    /// must not be stored.
    taken_over: HashMap<PartitionId, u64>,
    summary: Summary,
}

impl Writer {
    /// Starts the writer's task.
    pub fn start(
        store: Arc<Store>,
        outbox: Arc<Outbox>,
        dead_letters: Option<DeadLetters>,
    ) -> WriterHandle {
        let (batches, queue) = mpsc::channel(QUEUED_BATCHES);
        let (report, settled) = mpsc::channel(QUEUED_BATCHES);
        let writer = Self {
            store,
            outbox,
            dead_letters,
            settled: report,
            waiting: VecDeque::new(),
            under_way: JoinSet::new(),
            busy: Vec::new(),
            taken_over: HashMap::new(),
            summary: Summary::default(),
        };
        WriterHandle { batches, settled, task: tokio::spawn(writer.run(queue)) }
    }

    /// Stores batches, each partition's in order, until the queue ends.
    ///
    /// # Errors
    /// Errors that a retry cannot fix.
    async fn run(mut self, mut queue: mpsc::Receiver<Scored>) -> Result<Summary, AppError> {
        let mut is_open = true;
        loop {
            self.begin();
            tokio::select! {
                Some(ended) = self.under_way.join_next() => self.end(ended??).await,
                scored = queue.recv(), if is_open && self.waiting.len() < BATCHES_WAITING => {
                    match scored {
                        Some(scored) => self.waiting.push_back(scored),
                        None => is_open = false,
                    }
                }
                else => return Ok(self.summary),
            }
        }
    }

    /// Starts the first waiting batch of each partition that has none in progress.
    fn begin(&mut self) {
        while self.under_way.len() < BATCHES_UNDER_WAY {
            let is_free = |scored: &Scored| !self.busy.contains(&scored.batch.partition);
            let Some(at) = self.waiting.iter().position(is_free) else { return };
            let Some(scored) = self.waiting.remove(at) else { return };
            self.busy.push(scored.batch.partition.clone());
            let (store, left) = (Arc::clone(&self.store), self.is_left_over(&scored));
            self.under_way.spawn(async move {
                let written = match left {
                    Some(by) => by,
                    None => store.write_batch_until_done(&scored.as_stored()).await?,
                };
                Ok((scored, written))
            });
        }
    }

    /// Skips a batch whose ownership is known to have ended.
    fn is_left_over(&self, scored: &Scored) -> Option<Written> {
        let ended = self.taken_over.get(&scored.batch.partition);
        ended
            .is_some_and(|ownership| *ownership == scored.name.ownership)
            .then(|| Written::Superseded { by: String::new() })
    }

    async fn end(&mut self, (scored, written): (Scored, Written)) {
        let Named { batch, name } = scored;
        let size = size(&batch);
        self.busy.retain(|partition| *partition != batch.partition);
        let settled = match written {
            Written::Stored => {
                self.count(&batch);
                announce(&self.outbox, &batch.outcome.alerts);
                if let Some(letters) = &self.dead_letters {
                    letters.enqueue(&batch.partition, &batch.rejections);
                }
                Settled::Stored {
                    partition: batch.partition.clone(),
                    last_offset: name.last_offset,
                    newest: batch.events.iter().map(|event| event.event.time).max(),
                    rejections: batch.rejections,
                    size,
                }
            }
            Written::Superseded { by } => {
                counter!("keywatch_abandoned_batches_total").increment(1);
                if self.taken_over.insert(batch.partition.clone(), name.ownership)
                    != Some(name.ownership)
                {
                    warn!(partition = ?batch.partition, by, "another process has taken over");
                }
                let (partition, ownership) = (batch.partition, name.ownership);
                Settled::TakenOver { partition, ownership, size }
            }
        };
        // The pipeline may have ended already; then the records are read again.
        let _ = self.settled.send(settled).await;
    }

    fn count(&mut self, batch: &ScoredBatch) {
        self.summary.batches += 1;
        self.summary.events += batch.events.len() as u64;
        self.summary.rejections += batch.rejected();
        self.summary.alerts += batch.outcome.alerts.len() as u64;
        for reason in batch.outcome.quarantined() {
            counter!("keywatch_quarantined_total", "reason" => reason.as_str()).increment(1);
        }
    }
}

impl Named<ScoredBatch> {
    fn as_stored(&self) -> StoredBatch<'_> {
        let Self { batch, name } = self;
        StoredBatch {
            first_offset: name.first_offset,
            last_offset: name.last_offset,
            token: name.token.as_deref(),
            log_end: name.log_end,
            requests: &name.requests,
            events: &batch.events,
            dispositions: &batch.outcome.dispositions,
            rejections: &batch.rejections,
            attempts: &batch.outcome.attempts,
            alerts: &batch.outcome.alerts,
            ..StoredBatch::empty(&batch.partition, &name.claim)
        }
    }
}
