//! Writes rounds of state in the background, one after the other.

use std::sync::Arc;

use metrics::counter;
use tokio::sync::mpsc;
use tokio::task;
use tracing::{info, warn};

use crate::engine::snapshot::Chunk;
use crate::store::{PackedChunk, Round, RoundId, Store};

/// What the background does next.
pub enum Job {
    Chunk(RoundId, u32, Chunk),
    /// All chunks came before.
    Seal(Round),
}

/// A round that is valid now, or will never be.
pub struct Finished {
    pub id: RoundId,
    /// Bytes stored; `None` when the round failed.
    pub bytes: Option<u64>,
}

pub struct RoundWriter {
    store: Arc<Store>,
    finished: mpsc::Sender<Finished>,
    bytes: u64,
    /// The round whose remaining jobs are left undone.
    failed: Option<RoundId>,
}

impl RoundWriter {
    pub fn new(store: Arc<Store>, finished: mpsc::Sender<Finished>) -> Self {
        Self { store, finished, bytes: 0, failed: None }
    }

    /// Until nobody has jobs any more. Waits for as long as ClickHouse is away; anything worse
    /// costs the round, not the service.
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
                    warn!(%error, shard = ?id.shard, "state could not be saved; trying again with all of it");
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

    /// True when that was the end of a round.
    async fn work(&mut self, job: Job) -> anyhow::Result<bool> {
        match job {
            Job::Chunk(id, number, chunk) => {
                if number == 0 {
                    // The round before may have been given up half-way.
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
            warn!(%error, "older saved state is kept, which only takes room");
        }
    }
}
