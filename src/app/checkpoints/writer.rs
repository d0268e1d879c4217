//! Writes checkpoint rounds to ClickHouse in the background, one after the other.

use std::sync::Arc;

use metrics::counter;
use tokio::sync::mpsc;
use tokio::task;
use tracing::{info, warn};

use crate::engine::checkpoint::Chunk;
use crate::store::{PackedChunk, Round, RoundId, Store};

/// One step of a round for the background task.
pub enum Job {
    Chunk(RoundId, u32, Chunk),
    /// Makes the round valid; all its chunks were sent before.
    Seal(Round),
}

/// A round that has become valid or has failed.
pub struct Finished {
    pub id: RoundId,
    /// Bytes stored; `None` when the round failed.
    pub bytes: Option<u64>,
}

pub struct RoundWriter {
    store: Arc<Store>,
    finished: mpsc::Sender<Finished>,
    bytes: u64,
    /// The failed round, whose remaining jobs are skipped.
    failed: Option<RoundId>,
}

impl RoundWriter {
    pub fn new(store: Arc<Store>, finished: mpsc::Sender<Finished>) -> Self {
        Self { store, finished, bytes: 0, failed: None }
    }

    /// Runs until all senders are dropped. Waits while ClickHouse is away; any other error fails
    /// the round, not the service.
    pub async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.recv().await {
            let id = match &job {
                Job::Chunk(id, ..) => id.clone(),
                Job::Seal(round) => round.id.clone(),
            };
            if self.failed.as_ref() == Some(&id) {
                continue;
            }
            let outcome = self.work(job).await;
            let bytes = match outcome {
                Ok(false) => continue,
                Ok(true) => Some(std::mem::take(&mut self.bytes)),
                Err(error) => {
                    warn!(%error, shard = ?id.shard, "state could not be saved; a full checkpoint follows");
                    counter!("keywatch_state_rounds_total", "outcome" => "failed").increment(1);
                    self.bytes = 0;
                    self.failed = Some(id.clone());
                    None
                }
            };
            // The pipeline may have left already.
            let _ = self.finished.send(Finished { id, bytes }).await;
        }
    }

    /// Returns true when the job completed a round.
    async fn work(&mut self, job: Job) -> anyhow::Result<bool> {
        match job {
            Job::Chunk(id, number, chunk) => {
                if number == 0 {
                    // The previous round may have been abandoned half-way.
                    self.bytes = 0;
                }
                let packed = task::spawn_blocking(move || PackedChunk::new(&chunk)).await??;
                let write = || self.store.write_chunk(&id, number, &packed);
                self.store.until_available(write).await?;
                self.bytes += packed.stored_bytes() as u64;
                Ok(false)
            }
            Job::Seal(round) => {
                self.store.until_available(|| self.store.seal_round(&round)).await?;
                let RoundId { shard, round: number, .. } = round.id;
                info!(
                    ?shard,
                    round = number,
                    chunks = round.chunks,
                    bytes = self.bytes,
                    "state saved"
                );
                counter!("keywatch_state_rounds_total", "outcome" => "saved").increment(1);
                counter!("keywatch_state_bytes_total").increment(self.bytes);
                if number == 0 {
                    self.drop_older(&round.id).await;
                }
                Ok(true)
            }
        }
    }

    async fn drop_older(&self, current: &RoundId) {
        if let Err(error) = self.store.drop_older_generations(current).await {
            warn!(%error, "older saved state could not be deleted; it only takes disk space");
        }
    }
}
