//! Restores saved state from chunks whose checksums were fooled.
//!
//! The bytes of a state do not describe themselves, and their version changes. An input therefore
//! is either one chunk, or edits of a state that is saved anew.

use std::sync::LazyLock;

use keywatch::engine::checkpoint::{Chunk, ChunkKind, Extent};
use keywatch::engine::{Engine, Restoration};
use keywatch::event::{EnrichedEvent, ShardId};

use crate::scene::{AMSTERDAM, LONDON, Scene};

const KINDS: [ChunkKind; 5] = [
    ChunkKind::Profiles,
    ChunkKind::Requests,
    ChunkKind::FirstUses,
    ChunkKind::Used,
    ChunkKind::Rest,
];
const SHARD: ShardId = ShardId::Shared;

/// A state, and the events that come after it.
static SAVED: LazyLock<(Vec<Chunk>, Vec<EnrichedEvent>)> = LazyLock::new(|| {
    let (before, later) = events();
    let mut engine = Scene::engine();
    engine.process(SHARD, &Scene::partition(), &before, None);
    (save(&mut engine), later)
});

/// Two keys, a nonce that is used twice, and an hour later the same again.
fn events() -> (Vec<EnrichedEvent>, Vec<EnrichedEvent>) {
    let mut scene = Scene::new();
    for hour in [0.0, 3_600.0] {
        for key in ["key", "other"] {
            scene.steady(key, LONDON, hour, 600.0, 60.0);
        }
        scene.request("key", LONDON, hour + 601.0).nonce("zq81").request_id("r-1");
        scene.request("key", AMSTERDAM, hour + 605.0).nonce("zq81").request_id("r-2");
        scene.request("other", AMSTERDAM, hour + 606.0).status(401);
    }
    let mut events = scene.events();
    let later = events.split_off(events.len() / 2);
    (events, later)
}

fn save(engine: &mut Engine) -> Vec<Chunk> {
    let mut chunks = engine.cut(SHARD, Extent::All).unwrap().unwrap().chunks;
    while let Some(chunk) = engine.take_slice(SHARD, 1).unwrap() {
        chunks.push(chunk);
    }
    chunks
}

/// The first byte says what the others are.
pub fn run(input: &[u8]) {
    let Some((&first, rest)) = input.split_first() else { return };
    let (saved, later) = &*SAVED;
    let chunks = match KINDS.get(usize::from(first)) {
        Some(kind) => with_chunk(saved, *kind, rest),
        None => edited(saved, rest),
    };
    let mut restoration = Restoration::default();
    for chunk in &chunks {
        let _ = restoration.add(chunk);
    }
    let mut engine = Scene::engine();
    if engine.install(SHARD, restoration).is_ok() {
        engine.process(SHARD, &Scene::partition(), later, None);
        save(&mut engine);
    }
}

/// The saved state with another chunk of this kind. Four bytes give the number of entries.
fn with_chunk(saved: &[Chunk], kind: ChunkKind, rest: &[u8]) -> Vec<Chunk> {
    let Some((entries, bytes)) = rest.split_first_chunk() else { return Vec::new() };
    let chunk = Chunk { kind, entries: u32::from_le_bytes(*entries), bytes: bytes.to_vec() };
    let others = saved.iter().filter(|chunk| chunk.kind != kind).cloned();
    others.chain([chunk]).collect()
}

/// The saved state with edits of five bytes: chunk, place, what to do, value.
fn edited(saved: &[Chunk], edits: &[u8]) -> Vec<Chunk> {
    let mut chunks = saved.to_vec();
    let most = chunks.len();
    for edit in edits.chunks_exact(5).take(64) {
        let chunk = &mut chunks[usize::from(edit[0]) % most];
        apply(chunk, usize::from(u16::from_le_bytes([edit[1], edit[2]])), edit[3], edit[4]);
    }
    chunks
}

fn apply(chunk: &mut Chunk, place: usize, what: u8, value: u8) {
    let place = place % (chunk.bytes.len() + 1);
    match what % 5 {
        0 => chunk.entries = u32::from(value),
        1 => chunk.bytes.insert(place, value),
        2 => chunk.bytes.truncate(place),
        _ if place == chunk.bytes.len() => {}
        3 => drop(chunk.bytes.remove(place)),
        _ => chunk.bytes[place] = value,
    }
}
