//! Tests rounds of saved state in real tables.

use keywatch::engine::checkpoint::{Chunk, ChunkKind, FORMAT};
use keywatch::event::ShardId;
use keywatch::store::{PackedChunk, Round, RoundId, Store};

use super::samples::partition;
use crate::support::clickhouse::{client, database, lines};

fn id(generation: u64, round: u32, writer: &str) -> RoundId {
    let (scope, shard) = ("kafka/test".to_owned(), ShardId::Partition(3));
    RoundId { scope, shard, generation, round, writer: writer.into() }
}

fn chunk(kind: ChunkKind, text: &str) -> Chunk {
    Chunk { kind, entries: 1, bytes: text.as_bytes().to_vec() }
}

fn round(id: &RoundId, chunks: u32, offset: i64) -> Round {
    let positions = vec![(partition(3), offset), (partition(4), 7)];
    Round { id: id.clone(), epoch: 0, format: FORMAT, chunks, positions }
}

async fn write(store: &Store, id: &RoundId, chunks: &[Chunk]) {
    for (number, chunk) in (0..).zip(chunks) {
        let packed = PackedChunk::new(chunk).unwrap();
        store.write_chunk(id, number, &packed).await.unwrap();
    }
}

async fn read(store: &Store, id: &RoundId) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let count = store.read_chunks(id, |chunk| chunks.push(chunk.unpack().unwrap())).await.unwrap();
    assert_eq!(count as usize, chunks.len());
    chunks
}

#[tokio::test]
async fn rounds_come_back_as_they_were_written_and_only_when_sealed() {
    let database = database().await;
    let store = &database.store;
    let (first, second, torn) = (id(10, 0, "a"), id(10, 1, "a"), id(10, 2, "a"));
    let base = [chunk(ChunkKind::Rest, "rest 0"), chunk(ChunkKind::Profiles, "\0\u{fe} all")];
    let more = [chunk(ChunkKind::Rest, "rest 1"), chunk(ChunkKind::FirstUses, "uses")];
    write(store, &first, &base).await;
    assert_eq!(store.rounds("kafka/test", first.shard).await.unwrap(), []);
    store.seal_round(&round(&first, 2, 99)).await.unwrap();
    write(store, &second, &more).await;
    // A reply was lost, so everything is written twice.
    write(store, &second, &more).await;
    store.seal_round(&round(&second, 2, 150)).await.unwrap();
    store.seal_round(&round(&second, 2, 150)).await.unwrap();
    write(store, &torn, &more).await;

    let rounds = store.rounds("kafka/test", first.shard).await.unwrap();
    assert_eq!(rounds, [round(&second, 2, 150), round(&first, 2, 99)]);
    assert_eq!(read(store, &first).await, base);
    let expected = [base[1].clone(), more[0].clone(), more[1].clone()];
    assert_eq!(read(store, &second).await, expected, "the rest of earlier rounds is left out");
    for (scope, shard) in [("kafka/other", first.shard), ("kafka/test", ShardId::Shared)] {
        assert_eq!(store.rounds(scope, shard).await.unwrap(), []);
    }
}

#[tokio::test]
async fn older_generations_go_when_they_are_not_in_use() {
    let database = database().await;
    let store = &database.store;
    let chunks = [chunk(ChunkKind::Rest, "rest")];
    let (own, others, newer) = (id(10, 0, "a"), id(11, 0, "b"), id(12, 0, "a"));
    let future = Round { format: FORMAT + 1, ..round(&id(9, 0, "a"), 1, 5) };
    for round in [round(&own, 1, 5), round(&others, 1, 6), round(&newer, 1, 7), future] {
        write(store, &round.id, &chunks).await;
        store.seal_round(&round).await.unwrap();
    }
    store.drop_older_generations(&newer).await.unwrap();
    let left = store.rounds("kafka/test", own.shard).await.unwrap();
    let left: Vec<u64> = left.iter().map(|round| round.id.generation).collect();
    assert_eq!(left, [12, 11, 9], "another writer's that may be in use, and a newer format's");
    let generations = "SELECT DISTINCT generation FROM state_chunks ORDER BY generation";
    assert_eq!(lines(store, generations).await, ["9", "11", "12"]);

    let old = "ALTER TABLE state_chunks UPDATE written_at = written_at - INTERVAL 2 HOUR \
        WHERE generation = 11 SETTINGS mutations_sync = 1";
    client(&database.config).query(old).execute().await.unwrap();
    store.drop_older_generations(&newer).await.unwrap();
    assert_eq!(lines(store, generations).await, ["9", "12"]);
}

#[tokio::test]
async fn a_newer_owner_s_rounds_come_first_whatever_the_clocks_say() {
    let database = database().await;
    let (old, new) = (id(500, 7, "a"), id(400, 0, "b"));
    for (id, epoch) in [(&old, 1), (&new, 2)] {
        let round = Round { epoch, ..round(id, 0, 5) };
        database.store.seal_round(&round).await.unwrap();
    }
    let rounds = database.store.rounds("kafka/test", old.shard).await.unwrap();
    assert_eq!(rounds[0].id, new);
}
