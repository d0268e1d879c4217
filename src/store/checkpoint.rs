//! Stores checkpoint rounds: the chunks first, then the row that makes the round valid.

use std::io::{self, Read};

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::engine::checkpoint::{Chunk, ChunkKind, FORMAT};
use crate::event::{EventTime, PartitionId, ShardId};

const ZSTD_LEVEL: i32 = 1;

/// No chunk is larger: the largest holds the remembered requests of a shard.
const MAX_CHUNK_BYTES: usize = 1 << 30;

/// Generations of other writers are dropped when no round was added to them for this long.
const ABANDONED_AFTER: &str = "INTERVAL 1 HOUR";

/// Identifies one round of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundId {
    /// The kind of the source, and its consumer group if it has one.
    pub scope: String,
    pub shard: ShardId,
    /// The wall clock, in microseconds, at the generation's beginning.
    pub generation: u64,
    /// Counts from 0; round 0 holds everything.
    pub round: u32,
    /// The only process that writes this generation.
    pub writer: String,
}

/// A valid round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    pub id: RoundId,
    /// The claim's epoch under which it was written; a newer one wins.
    pub epoch: u64,
    /// The format of the bytes in the chunks.
    pub format: u16,
    pub chunks: u32,
    /// The last offset of each partition that the state includes.
    pub positions: Vec<(PartitionId, i64)>,
}

/// A chunk as it is stored.
#[derive(Clone, Debug)]
pub struct PackedChunk {
    kind: ChunkKind,
    entries: u32,
    size: usize,
    data: Vec<u8>,
}

impl PackedChunk {
    /// Compresses a chunk and adds a checksum of its content. Blocks the thread for milliseconds.
    ///
    /// # Errors
    /// Not expected, because it writes to memory.
    pub fn new(chunk: &Chunk) -> io::Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
        compressor.include_checksum(true)?;
        let data = compressor.compress(&chunk.bytes)?;
        Ok(Self { kind: chunk.kind, entries: chunk.entries, size: chunk.bytes.len(), data })
    }

    /// Returns the stored size in bytes.
    pub fn stored_bytes(&self) -> usize {
        self.data.len()
    }

    pub fn kind(&self) -> ChunkKind {
        self.kind
    }

    pub fn entries(&self) -> u32 {
        self.entries
    }

    /// Decompresses as much as there is. The stored size may be damaged, so no memory is reserved
    /// for it.
    ///
    /// # Errors
    /// Fails for bytes that [`Self::new`] did not produce.
    pub fn unpack(&self) -> io::Result<Chunk> {
        let mut bytes = Vec::new();
        let limit = self.size.min(MAX_CHUNK_BYTES) as u64 + 1;
        zstd::Decoder::with_buffer(&*self.data)?.take(limit).read_to_end(&mut bytes)?;
        if bytes.len() != self.size {
            let reason = format!("it has {} bytes or more, not {}", bytes.len(), self.size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        Ok(Chunk { kind: self.kind, entries: self.entries, bytes })
    }
}

#[derive(Clone, Row, Serialize, Deserialize)]
struct ChunkRow<'a> {
    scope: &'a str,
    shard: String,
    generation: u64,
    round: u32,
    chunk: u32,
    kind: &'a str,
    entries: u32,
    size: u64,
    writer: &'a str,
    written_at: i64,
    #[serde(with = "serde_bytes")]
    data: &'a [u8],
}

#[derive(Row, Deserialize)]
struct StoredChunk<'a> {
    kind: &'a str,
    entries: u32,
    size: u64,
    #[serde(with = "serde_bytes")]
    data: &'a [u8],
}

#[derive(Clone, Row, Serialize, Deserialize)]
struct RoundRow {
    scope: String,
    shard: String,
    epoch: u64,
    generation: u64,
    round: u32,
    format: u16,
    chunks: u32,
    topics: Vec<String>,
    partitions: Vec<i32>,
    offsets: Vec<i64>,
    writer: String,
    written_at: i64,
}

/// Returns `shared`, or `partition-` and its number.
fn shard_name(shard: ShardId) -> String {
    match shard {
        ShardId::Shared => "shared".into(),
        ShardId::Partition(number) => format!("partition-{number}"),
    }
}

impl RoundId {
    fn token(&self, part: &str) -> String {
        let Self { scope, shard, generation, round, writer } = self;
        format!("{scope}/{}/{generation}/{round}/{writer}/{part}", shard_name(*shard))
    }
}

impl RoundRow {
    fn new(round: &Round) -> Self {
        let partitions = || round.positions.iter().map(|(partition, _)| partition);
        Self {
            scope: round.id.scope.clone(),
            shard: shard_name(round.id.shard),
            epoch: round.epoch,
            generation: round.id.generation,
            round: round.id.round,
            format: round.format,
            chunks: round.chunks,
            topics: partitions().map(|partition| partition.topic.to_string()).collect(),
            partitions: partitions().map(|partition| partition.partition).collect(),
            offsets: round.positions.iter().map(|(_, offset)| *offset).collect(),
            writer: round.id.writer.clone(),
            written_at: EventTime::now().as_micros(),
        }
    }

    fn into_round(self, shard: ShardId) -> Round {
        let Self { scope, epoch, generation, round, format, chunks, writer, .. } = self;
        let partitions = self.topics.into_iter().zip(self.partitions);
        let partitions =
            partitions.map(|(topic, partition)| PartitionId { topic: topic.into(), partition });
        Round {
            id: RoundId { scope, shard, generation, round, writer },
            epoch,
            format,
            chunks,
            positions: partitions.zip(self.offsets).collect(),
        }
    }
}

impl Store {
    /// Writes one chunk. Writing the same chunk again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`]; retryable ones are worth waiting for.
    pub async fn write_chunk(
        &self,
        id: &RoundId,
        number: u32,
        chunk: &PackedChunk,
    ) -> Result<(), StoreError> {
        let row = ChunkRow {
            scope: &id.scope,
            shard: shard_name(id.shard),
            generation: id.generation,
            round: id.round,
            chunk: number,
            kind: chunk.kind.as_str(),
            entries: chunk.entries,
            size: chunk.size as u64,
            writer: &id.writer,
            written_at: EventTime::now().as_micros(),
            data: &chunk.data,
        };
        self.insert::<ChunkRow<'_>>("state_chunks", &id.token(&number.to_string()), [row]).await
    }

    /// Makes a round valid after all its chunks are written.
    ///
    /// # Errors
    /// [`StoreError`]; retryable ones are worth waiting for.
    pub async fn seal_round(&self, round: &Round) -> Result<(), StoreError> {
        let token = round.id.token("sealed");
        self.insert::<RoundRow>("state_rounds", &token, [RoundRow::new(round)]).await
    }

    /// Returns the valid rounds of a shard, the best first: newest owner, newest generation, last
    /// round.
    ///
    /// # Errors
    /// [`StoreError`]; retryable ones are worth waiting for.
    pub async fn rounds(&self, scope: &str, shard: ShardId) -> Result<Vec<Round>, StoreError> {
        let sql = "SELECT ?fields FROM state_rounds WHERE scope = ? AND shard = ? \
                   ORDER BY epoch DESC, generation DESC, round DESC";
        let rows: Vec<RoundRow> = self
            .client
            .query(sql)
            .bind(scope)
            .bind(shard_name(shard))
            .fetch_all()
            .await
            .map_err(|error| self.error("reading the rounds of state", &error))?;
        Ok(rows.into_iter().map(|row| row.into_round(shard)).collect())
    }

    /// Returns the highest stored offset of `partition`, over all topics that had its name.
    ///
    /// # Errors
    /// [`StoreError`]; retryable ones are worth waiting for.
    pub async fn stored_up_to(&self, partition: &PartitionId) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT maxOrNull(last_offset) FROM (SELECT last_offset FROM ingest_batches \
                   WHERE topic = ? AND partition = ? AND state = 'done' \
                   ORDER BY first_offset DESC LIMIT 100)";
        self.client
            .query(sql)
            .bind(&*partition.topic)
            .bind(partition.partition)
            .fetch_one()
            .await
            .map_err(|error| self.error("reading the ledger", &error))
    }

    /// Passes the chunks of a generation up to and including `round` to `each`, in the order in
    /// which they were written. Skips the first chunk of earlier rounds, which holds the shard's
    /// non-profile state. Returns the number of chunks.
    ///
    /// # Errors
    /// [`StoreError`]; after a retryable one, call again from the beginning.
    pub async fn read_chunks(
        &self,
        round: &RoundId,
        mut each: impl FnMut(PackedChunk),
    ) -> Result<u32, StoreError> {
        let doing = "reading saved state";
        let sql = "SELECT kind, entries, size, data FROM state_chunks \
                   WHERE scope = ? AND shard = ? AND generation = ? AND round <= ? \
                       AND (kind != ? OR round = ?) \
                   ORDER BY scope, shard, generation, round, chunk";
        let mut cursor = self
            .client
            .query(sql)
            .with_setting("max_block_size", "16")
            .bind(&round.scope)
            .bind(shard_name(round.shard))
            .bind(round.generation)
            .bind(round.round)
            .bind(ChunkKind::Rest.as_str())
            .bind(round.round)
            .fetch::<StoredChunk<'_>>()
            .map_err(|error| self.error(doing, &error))?;
        let mut count = 0;
        while let Some(row) = cursor.next().await.map_err(|error| self.error(doing, &error))? {
            let StoredChunk { kind, entries, size, data } = row;
            let kind = kind.parse::<ChunkKind>().ok();
            let (size, data) = (size as usize, data.to_vec());
            if let Some(kind) = kind {
                each(PackedChunk { kind, entries, size, data });
                count += 1;
            }
        }
        Ok(count)
    }

    /// Drops generations of a shard that are older than `current` and no longer in use: those of
    /// the same writer, and those to which no process has added a round for an hour. Generations of
    /// a newer format stay, in case the newer version is installed again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn drop_older_generations(&self, current: &RoundId) -> Result<(), StoreError> {
        let doing = "dropping older generations of state";
        let sql = format!(
            "SELECT generation FROM state_chunks \
             LEFT JOIN (SELECT generation, max(format) AS format FROM state_rounds \
                 WHERE scope = ? AND shard = ? GROUP BY generation) AS rounds USING generation \
             WHERE scope = ? AND shard = ? AND generation < ? GROUP BY generation \
             HAVING max(rounds.format) <= ? \
                 AND (any(writer) = ? OR max(written_at) < now64(6) - {ABANDONED_AFTER})"
        );
        let shard = shard_name(current.shard);
        let older: Vec<u64> = self
            .client
            .query(&sql)
            .bind(&current.scope)
            .bind(&shard)
            .bind(&current.scope)
            .bind(&shard)
            .bind(current.generation)
            .bind(FORMAT)
            .bind(&current.writer)
            .fetch_all()
            .await
            .map_err(|error| self.error(doing, &error))?;
        for generation in older {
            // The rows that make rounds valid are dropped first.
            for table in ["state_rounds", "state_chunks"] {
                let sql = format!("ALTER TABLE {table} DROP PARTITION (?, ?, ?)");
                let drop = self.client.query(&sql).bind(&current.scope).bind(&shard);
                drop.bind(generation).execute().await.map_err(|error| self.error(doing, &error))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn packed() -> PackedChunk {
        let bytes = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
        PackedChunk::new(&Chunk { kind: ChunkKind::Profiles, entries: 7, bytes }).unwrap()
    }

    #[test]
    fn a_damaged_size_is_an_error_and_takes_no_memory() {
        assert_eq!(packed().unpack().unwrap().bytes.len(), 40_000);
        for size in [0, 39_999, 40_001, usize::MAX / 2, usize::MAX] {
            assert!(PackedChunk { size, ..packed() }.unpack().is_err(), "{size}");
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let whole = packed();
        for place in (0..whole.data.len()).step_by(whole.data.len() / 50) {
            let mut damaged = whole.clone();
            damaged.data[place] ^= 4;
            let bytes = damaged.unpack().ok().map(|chunk| chunk.bytes);
            assert!(bytes.is_none_or(|bytes| bytes == whole.unpack().unwrap().bytes), "{place}");
        }
    }

    #[test]
    fn a_chunk_that_inflates_beyond_its_size_is_cut_off() {
        let bytes = vec![0; 100 << 20];
        let bomb = PackedChunk::new(&Chunk { kind: ChunkKind::Rest, entries: 1, bytes }).unwrap();
        assert!(PackedChunk { size: 1_000, ..bomb }.unpack().is_err());
    }
}
