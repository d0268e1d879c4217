//! Saved and restored at any point, the engine goes on as if nothing had happened.

use std::fs;
use std::path::Path;

use keywatch::alert::{Alert, AlertType};
use keywatch::config::{DetectConfig, PolicyConfig};
use keywatch::engine::snapshot::{Chunk, ChunkKind, Extent, FORMAT};
use keywatch::engine::{Engine, Restoration};
use keywatch::event::{EnrichedEvent, ShardId};
use keywatch::registry::Registry;
use proptest::prelude::*;

use crate::scene::{AMSTERDAM, HOSTER, LONDON, NEW_YORK, Place, SYDNEY, Scene, with_model};
use crate::{DAY, HOUR};

/// Saves the whole engine's shard at once.
fn save(engine: &mut Engine, shard: ShardId, extent: Extent) -> Vec<Chunk> {
    let mut chunks = engine.cut(shard, extent).unwrap().unwrap().chunks;
    while let Some(chunk) = engine.take_slice(shard, 3).unwrap() {
        chunks.push(chunk);
    }
    chunks
}

fn restore(mut fresh: Engine, shard: ShardId, chunks: &[Chunk]) -> Engine {
    let mut restoration = Restoration::default();
    for chunk in chunks {
        restoration.add(chunk).unwrap();
    }
    fresh.install(shard, restoration).unwrap();
    fresh
}

fn process(engine: &mut Engine, shard: ShardId, events: &[EnrichedEvent]) -> Vec<Alert> {
    engine.process(shard, &Scene::partition(), events, None)
}

fn json(alerts: &[Alert]) -> String {
    serde_json::to_string_pretty(alerts).unwrap()
}

/// Keys that do what `acts` say, around an incident of every family.
fn eventful(acts: &[(u8, u8, u16)]) -> Scene {
    let mut scene = Scene::new();
    for key in ["key", "other", "third"] {
        scene.steady(key, LONDON, 0.0, 1.5 * DAY, 240.0);
    }
    let start = 1.5 * DAY;
    scene.request("key", LONDON, start).nonce("zq81").request_id("r-1");
    scene.request("key", SYDNEY, start + 5.0).nonce("zq81").request_id("r-2");
    scene.steady("other", LONDON, start + 60.0, 60.0, 0.2);
    let hoster = Place { asn: HOSTER, ip: "203.0.113.9", ..LONDON };
    for (n, (kind, key, second)) in acts.iter().enumerate() {
        let key = ["key", "other", "third", "late"][usize::from(key % 4)];
        let time = start + f64::from(*second);
        let place = [LONDON, AMSTERDAM, NEW_YORK, hoster][n % 4];
        match kind % 6 {
            0 => drop(scene.request(key, place, time)),
            1 => drop(scene.request(key, place, time).nonce(&format!("n-{}", second % 40))),
            2 => drop(scene.request(key, LONDON, time).status([200, 401, 429, 503][n % 4])),
            3 => drop(scene.request(key, LONDON, time).signed_at(time - f64::from(*second))),
            4 => drop(scene.request(key, LONDON, time).request_id(&format!("r-{}", second % 9))),
            _ => scene.steady(key, LONDON, time, 20.0, 0.25),
        }
    }
    scene.steady("third", LONDON, start + 20.0 * HOUR, HOUR, 60.0);
    scene
}

/// As [`Scene::engine`], but revocations are asked for, within a budget of two.
fn revoking() -> Engine {
    let policy =
        PolicyConfig { dry_run: false, max_revocations_per_hour: 2, ..PolicyConfig::default() };
    with_model(Engine::new(&DetectConfig::default(), &policy, Registry::default()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_restored_shard_goes_on_as_if_nothing_had_happened(
        acts in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u16>()), 0..80),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
        number in prop::option::of(0i32..3),
    ) {
        let shard = number.map_or(ShardId::Shared, ShardId::Partition);
        let events = eventful(&acts).events();
        let whole = process(&mut revoking(), shard, &events);
        prop_assert!(whole.len() > 3);

        let mut cuts: Vec<usize> = cuts.iter().map(|cut| 1 + cut.index(events.len())).collect();
        cuts.sort_unstable();
        let (mut engine, mut alerts, mut chunks) = (revoking(), Vec::new(), Vec::new());
        let mut from = 0;
        for (round, cut) in cuts.into_iter().enumerate() {
            alerts.extend(process(&mut engine, shard, &events[from..cut]));
            let extent = if round == 0 { Extent::All } else { Extent::Changed };
            chunks.extend(save(&mut engine, shard, extent));
            from = cut;
        }
        let mut engine = restore(revoking(), shard, &chunks);
        prop_assert_eq!(engine.position(shard, &Scene::partition()), Some(from as i64 - 1));
        alerts.extend(process(&mut engine, shard, &events[from..]));
        prop_assert_eq!(json(&alerts), json(&whole));
    }

    #[test]
    fn a_round_holds_the_state_at_its_cut_though_scoring_goes_on(
        cut in 500usize..3_000,
        batch in 1usize..200,
    ) {
        let (shard, events) = (ShardId::Partition(1), eventful(&[]).events());
        let cut = cut.min(events.len() - 1);
        let mut engine = Scene::engine();
        process(&mut engine, shard, &events[..cut]);
        let mut chunks = engine.cut(shard, Extent::All).unwrap().unwrap().chunks;
        for events in events[cut..].chunks(batch) {
            process(&mut engine, shard, events);
            chunks.extend(engine.take_slice(shard, 1).unwrap());
        }
        while let Some(chunk) = engine.take_slice(shard, 1).unwrap() {
            chunks.push(chunk);
        }
        let mut uncut = Scene::engine();
        process(&mut uncut, shard, &events[..cut]);
        let mut restored = restore(Scene::engine(), shard, &chunks);
        let expected = json(&process(&mut uncut, shard, &events[cut..]));
        prop_assert_eq!(json(&process(&mut restored, shard, &events[cut..])), expected);
    }
}

#[test]
fn a_round_holds_only_what_changed() {
    let (shard, events) = (ShardId::Shared, eventful(&[]).events());
    let mut engine = Scene::engine();
    process(&mut engine, shard, &events);
    let profiles = |chunks: &[Chunk]| -> u32 {
        let of_profiles = chunks.iter().filter(|chunk| chunk.kind == ChunkKind::Profiles);
        of_profiles.map(|chunk| chunk.entries).sum()
    };
    assert_eq!(profiles(&save(&mut engine, shard, Extent::All)), 3);
    assert_eq!(profiles(&save(&mut engine, shard, Extent::Changed)), 0);
    let mut later = Scene::new();
    later.request("other", LONDON, 3.0 * DAY);
    let mut later = later.events();
    later[0].position.offset = events.len() as i64;
    process(&mut engine, shard, &later);
    assert_eq!(profiles(&save(&mut engine, shard, Extent::Changed)), 1);
    assert_eq!(profiles(&save(&mut engine, shard, Extent::All)), 3);
}

#[test]
fn a_revocation_asked_for_before_a_restart_counts_in_the_budget_after_it() {
    let shard = ShardId::Shared;
    let mut scene = Scene::new();
    for key in ["a", "b", "c"] {
        scene.steady(key, LONDON, 0.0, 2.0 * DAY, 60.0);
    }
    for (n, key) in ["a", "b", "c"].into_iter().enumerate() {
        for copy in 0..2 {
            let place = if copy == 0 { LONDON } else { SYDNEY };
            let time = 2.0 * DAY + 10.0 * n as f64 + f64::from(copy);
            scene.request(key, place, time).nonce(&format!("nonce of {key}"));
        }
        for n in 0..400 {
            scene.request(key, LONDON, 2.0 * DAY + 40.0 + f64::from(n) / 20.0);
        }
    }
    let events = scene.events();
    let asked = |alerts: &[Alert]| -> usize {
        alerts.iter().filter(|alert| alert.alert_type == AlertType::RevocationRequested).count()
    };
    let whole = process(&mut revoking(), shard, &events);
    assert_eq!(asked(&whole), 2, "the budget");
    let first = whole.iter().find(|a| a.alert_type == AlertType::RevocationRequested).unwrap();
    let cut = first.position.last_offset as usize + 1;
    let mut engine = revoking();
    let mut alerts = process(&mut engine, shard, &events[..cut]);
    assert_eq!(asked(&alerts), 1);
    let chunks = save(&mut engine, shard, Extent::All);
    let mut engine = restore(revoking(), shard, &chunks);
    alerts.extend(process(&mut engine, shard, &events[cut..]));
    assert_eq!(json(&alerts), json(&whole));
}

#[test]
fn damaged_or_missing_chunks_are_refused() {
    let (shard, events) = (ShardId::Shared, eventful(&[]).events());
    let mut engine = Scene::engine();
    process(&mut engine, shard, &events);
    let chunks = save(&mut engine, shard, Extent::All);
    for (place, chunk) in chunks.iter().enumerate() {
        let mut short = chunk.clone();
        short.bytes.truncate(chunk.bytes.len() - 1);
        assert!(Restoration::default().add(&short).is_err(), "{:?}", chunk.kind);
        let mut restoration = Restoration::default();
        chunks.iter().enumerate().filter(|(other, _)| *other != place).for_each(|(_, chunk)| {
            restoration.add(chunk).unwrap();
        });
        let installed = Scene::engine().install(shard, restoration);
        // What may be empty is missed by the number of a round's chunks instead.
        let is_needed = matches!(chunk.kind, ChunkKind::Rest | ChunkKind::FirstUses);
        assert_eq!(installed.is_err(), is_needed, "{:?}", chunk.kind);
    }
}

/// The bytes of one key with an open incident, one line a chunk: kind, entries, hexadecimal.
fn as_text(chunks: &[Chunk]) -> String {
    let line = |chunk: &Chunk| {
        format!("{} {} {}\n", chunk.kind.as_str(), chunk.entries, hex::encode(&chunk.bytes))
    };
    chunks.iter().map(line).collect()
}

fn from_text(text: &str) -> Vec<Chunk> {
    let chunk = |line: &str| {
        let [kind, entries, bytes] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let kind = ChunkKind::ALL.into_iter().find(|known| known.as_str() == kind).unwrap();
        Chunk { kind, entries: entries.parse().unwrap(), bytes: hex::decode(bytes).unwrap() }
    };
    text.lines().map(chunk).collect()
}

/// What a released version has written must stay readable, or be known by its number as
/// something else: the bytes do not describe themselves.
#[test]
fn the_format_has_the_number_of_its_bytes() {
    let name = format!("tests/engine/state_format_{FORMAT}.txt");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&name);
    let shard = ShardId::Partition(0);
    if !path.exists() {
        let mut scene = Scene::new();
        scene.steady("key", LONDON, 0.0, DAY, 60.0);
        scene.request("key", LONDON, DAY).nonce("101").request_id("r-1").signed_at(DAY - 1.0);
        scene.request("key", SYDNEY, DAY + 5.0).nonce("101").request_id("r-2");
        let mut engine = Scene::engine();
        assert!(!process(&mut engine, shard, &scene.events()).is_empty());
        fs::write(&path, as_text(&save(&mut engine, shard, Extent::All))).unwrap();
        panic!("wrote {name}, which was missing: commit it with the new number");
    }
    let saved = fs::read_to_string(&path).unwrap();
    let mut engine = restore(Scene::engine(), shard, &from_text(&saved));
    let again = save(&mut engine, shard, Extent::All);
    // Maps have no order.
    let contents = |chunks: Vec<Chunk>| -> Vec<_> {
        let sorted = |mut chunk: Chunk| {
            chunk.bytes.sort_unstable();
            (chunk.kind.as_str(), chunk.entries, chunk.bytes)
        };
        chunks.into_iter().map(sorted).collect()
    };
    let is_same = contents(again) == contents(from_text(&saved));
    assert!(is_same, "what is saved has changed: raise FORMAT in src/engine/snapshot.rs");
}
