//! Restores a shard's state from its newest usable checkpoint round.

use std::time::Instant;

use metrics::histogram;
use tokio::task;
use tracing::{info, warn};

use crate::engine::Restoration;
use crate::engine::checkpoint::{CheckpointError, ChunkKind, FORMAT};
use crate::event::ShardId;
use crate::store::{PackedChunk, Round, RoundId, Store, StoreError};

use crate::engine::Engine;

/// The reason why a round is not used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("its format is {0}, and this version reads format {FORMAT}")]
    Format(u16),
    #[error("it includes {topic}/{partition} up to offset {offset}, which is not stored")]
    Ahead { topic: String, partition: i32, offset: i64 },
    #[error("only {found} of its generation's {expected} chunks were found")]
    Incomplete { found: u32, expected: u32 },
    #[error(transparent)]
    Damaged(#[from] CheckpointError),
    #[error("a chunk cannot be decompressed: {0}")]
    Compression(#[from] std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Rounds that are tried before the shard starts with empty state.
const MAX_ATTEMPTS: usize = 20;

/// The result of restoring one shard.
pub enum Restored {
    /// A round, without so many profiles whose chunks are damaged.
    Round(Round, u64),
    /// The shard has no finished round.
    Nothing,
    Unusable,
}

/// Restores the newest usable round of `shard` into the engine and returns it. Waits while
/// ClickHouse is away.
///
/// # Errors
/// Errors that a retry cannot fix. An unusable round is not an error: the round before it is tried.
pub async fn restore(
    store: &Store,
    scope: &str,
    shard: ShardId,
    engine: &mut Engine,
) -> Result<Restored, StoreError> {
    let begin = Instant::now();
    let rounds = store.until_available(|| store.rounds(scope, shard)).await?;
    let mut unreadable = None;
    // A whole round is better than a newer one with a damaged chunk: what came after it is scored
    // again.
    for tolerance in [Tolerance::Nothing, Tolerance::LostProfiles] {
        for round in rounds.iter().take(MAX_ATTEMPTS) {
            let RoundId { generation, round: number, .. } = round.id;
            if unreadable == Some(generation) {
                continue;
            }
            let state = read(store, round, &rounds, tolerance).await;
            match state.and_then(|(state, lost)| Ok((engine.install(shard, state)?, lost))) {
                Ok(((), lost)) => {
                    let seconds = begin.elapsed().as_secs_f64();
                    histogram!("keywatch_state_restore_seconds").record(seconds);
                    info!(?shard, generation, round = number, lost, seconds, "state restored");
                    return Ok(Restored::Round(round.clone(), lost));
                }
                Err(Unusable::Store(error)) => return Err(error),
                Err(reason) => {
                    if matches!(reason, Unusable::Format(_)) {
                        unreadable = Some(generation);
                    }
                    warn!(?shard, generation, round = number, %reason, "saved state is not used");
                }
            }
        }
    }
    if rounds.is_empty() {
        return Ok(Restored::Nothing);
    }
    warn!(?shard, "no saved state is usable: the profiles of these keys start empty");
    Ok(Restored::Unusable)
}

/// The damage with which a round is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tolerance {
    Nothing,
    /// Chunks of profiles may be damaged: these keys start empty.
    LostProfiles,
}

/// Returns the state and the number of its profiles that are lost.
async fn read(
    store: &Store,
    round: &Round,
    rounds: &[Round],
    tolerance: Tolerance,
) -> Result<(Restoration, u64), Unusable> {
    if round.format != FORMAT {
        return Err(Unusable::Format(round.format));
    }
    for (partition, offset) in &round.positions {
        let stored = store.until_available(|| store.stored_up_to(partition)).await?;
        if stored.is_none_or(|stored| stored < *offset) {
            let (topic, partition) = (partition.topic.to_string(), partition.partition);
            return Err(Unusable::Ahead { topic, partition, offset: *offset });
        }
    }
    let earlier = rounds.iter().filter(|other| {
        other.id.generation == round.id.generation && other.id.round < round.id.round
    });
    // The first chunk of an earlier round holds the shard's non-profile state. It is not read,
    // because the newest round has its own.
    let chunks = earlier.map(|round| round.chunks.saturating_sub(1));
    let expected = chunks.fold(round.chunks, u32::saturating_add);
    let (found, restoration) =
        store.until_available(|| read_chunks(store, &round.id, tolerance)).await?;
    if found != expected {
        return Err(Unusable::Incomplete { found, expected });
    }
    restoration
}

/// Decodes chunks while the next ones are read. An error in a chunk is returned after the last one.
async fn read_chunks(
    store: &Store,
    id: &RoundId,
    tolerance: Tolerance,
) -> Result<(u32, Result<(Restoration, u64), Unusable>), StoreError> {
    let mut restoration = Ok((Restoration::default(), 0));
    let found = store
        .read_chunks(id, |chunk| {
            task::block_in_place(|| {
                let Ok((state, lost)) = &mut restoration else { return };
                let may_be_lost =
                    tolerance == Tolerance::LostProfiles && chunk.kind() == ChunkKind::Profiles;
                match add(state, &chunk) {
                    Err(_) if may_be_lost => *lost += u64::from(chunk.entries()),
                    Err(error) => restoration = Err(error),
                    Ok(()) => {}
                }
            });
        })
        .await?;
    Ok((found, restoration))
}

fn add(restoration: &mut Restoration, chunk: &PackedChunk) -> Result<(), Unusable> {
    Ok(restoration.add(&chunk.unpack()?)?)
}
