//! Saved and restored at any point, the engine goes on as if nothing had happened.

use std::fs;
use std::path::Path;

use keywatch::alert::{Action, Alert, AlertType};
use keywatch::config::{DetectConfig, PolicyConfig};
use keywatch::engine::checkpoint::{Chunk, ChunkKind, Extent, FORMAT};
use keywatch::engine::{Engine, Restoration};
use keywatch::event::{EnrichedEvent, ShardId};
use keywatch::registry::Registry;
use proptest::prelude::*;

use crate::image::image;
use crate::scene::{AMSTERDAM, HOSTER, LONDON, NEW_YORK, Place, SYDNEY, Scene, with_model};
use crate::stuffing::{RENTED, stuff};
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
    engine.process(shard, &Scene::partition(), events, None).alerts
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

/// As [`Scene::engine`], but revocations are proposed.
fn revoking() -> Engine {
    let policy = PolicyConfig { dry_run: false, ..PolicyConfig::default() };
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

    /// The checksums of the store notice damage. If one is fooled, the bytes are an error or
    /// another state, and neither a panic nor an allocation of any size.
    #[test]
    fn damaged_chunks_are_errors_or_state_and_never_a_panic(
        acts in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u16>()), 0..20),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        end in prop::option::of(any::<prop::sample::Index>()),
        entries in prop::option::of(any::<u32>()),
    ) {
        let shard = ShardId::Shared;
        let mut engine = revoking();
        process(&mut engine, shard, &eventful(&acts).events());
        let mut restoration = Restoration::default();
        for mut chunk in save(&mut engine, shard, Extent::All) {
            for (place, byte) in &damage {
                let place = place.index(chunk.bytes.len());
                chunk.bytes[place] = *byte;
            }
            if let Some(end) = end {
                chunk.bytes.truncate(end.index(chunk.bytes.len()));
            }
            chunk.entries = entries.unwrap_or(chunk.entries);
            let _ = restoration.add(&chunk);
        }
        let _ = revoking().install(shard, restoration);
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

/// Revisions of the alerts of one incident that is worth a revocation, and goes on.
fn revisions(engine: &mut Engine) -> Vec<(u32, AlertType)> {
    let mut scene = Scene::new();
    scene.steady("key", LONDON, 0.0, 2.0 * DAY, 60.0);
    for (place, second) in [(LONDON, 0.0), (SYDNEY, 1.0)] {
        scene.request("key", place, 2.0 * DAY + second).nonce("nonce");
    }
    for n in 0..400 {
        scene.request("key", LONDON, 2.0 * DAY + 40.0 + f64::from(n) / 20.0);
    }
    let alerts = process(engine, ShardId::Shared, &scene.events());
    assert!(alerts.iter().all(|alert| alert.action == Action::Revoke), "{alerts:#?}");
    alerts.iter().map(|alert| (alert.revision, alert.alert_type)).collect()
}

#[test]
fn a_live_policy_leaves_numbers_out_after_each_proposal_and_requests_nothing_itself() {
    let dry = revisions(&mut Scene::engine());
    assert!(dry.len() > 1);
    let numbers = |revisions: &[(u32, AlertType)]| -> Vec<u32> {
        revisions.iter().map(|(revision, _)| *revision).collect()
    };
    assert_eq!(numbers(&dry), (1..=dry.len() as u32).collect::<Vec<_>>());
    let live = revisions(&mut revoking());
    assert_eq!(numbers(&live), (0..live.len() as u32).map(|n| 5 * n + 1).collect::<Vec<_>>());
    let is_news = |kind: &AlertType| matches!(kind, AlertType::Opened | AlertType::Updated);
    assert!(live.iter().all(|(_, kind)| is_news(kind)), "{live:?}");
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
        let kind = kind.parse::<ChunkKind>().unwrap();
        Chunk { kind, entries: entries.parse().unwrap(), bytes: hex::decode(bytes).unwrap() }
    };
    text.lines().map(chunk).collect()
}

/// A day of one key that ends with an incident.
fn scene_of_a_key() -> Scene {
    let mut scene = Scene::new();
    scene.steady("key", LONDON, 0.0, DAY, 60.0);
    scene.request("key", LONDON, DAY).nonce("101").request_id("r-1").signed_at(DAY - 1.0);
    scene.request("key", SYDNEY, DAY + 5.0).nonce("101").request_id("r-2");
    scene
}

/// Keys that are tried from one machine, among them one that exists and one that is accepted.
fn scene_of_a_source() -> Scene {
    let mut scene = Scene::new();
    for n in 0..4 {
        scene.steady(&format!("key-{n}"), LONDON, f64::from(n), 6.0 * HOUR, 300.0);
    }
    stuff(&mut scene, 6.0 * HOUR, 20);
    scene.request("key-0", RENTED, 6.0 * HOUR + 15.5).status(401);
    scene.request("key-1", RENTED, 6.0 * HOUR + 16.5);
    scene
}

fn restoration(chunks: &[Chunk]) -> Restoration {
    let mut restoration = Restoration::default();
    chunks.iter().for_each(|chunk| restoration.add(chunk).unwrap());
    restoration
}

/// The text of a file beside the tests. One that is missing is written and added to `written`.
fn kept(name: &str, written: &mut Vec<String>, make: impl FnOnce() -> String) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine").join(name);
    fs::read_to_string(&path).unwrap_or_else(|_| {
        let text = make();
        fs::write(&path, &text).unwrap();
        written.push(name.to_owned());
        text
    })
}

/// What a released version has written must stay readable, or be known by its number as
/// something else: the bytes do not describe themselves.
#[test]
fn the_format_has_the_number_of_its_fields() {
    let shard = ShardId::Partition(0);
    let mut written = Vec::new();
    for (case, scene) in [("", scene_of_a_key()), ("_source", scene_of_a_source())] {
        let name = format!("state_format_{FORMAT}{case}");
        let bytes = kept(&format!("{name}.txt"), &mut written, || {
            let mut engine = Scene::engine();
            assert!(!process(&mut engine, shard, &scene.events()).is_empty());
            as_text(&save(&mut engine, shard, Extent::All))
        });
        let saved = from_text(&bytes);
        let found = image(&restoration(&saved));
        let expected = kept(&format!("{name}_fields.txt"), &mut written, || found.clone());
        assert_same_fields("read", &found, &expected);
        let mut engine = restore(Scene::engine(), shard, &saved);
        let again = image(&restoration(&save(&mut engine, shard, Extent::All)));
        assert_same_fields("saved again", &again, &expected);
    }
    assert!(written.is_empty(), "wrote {written:?}, which were missing: look at them, commit them");
}

fn assert_same_fields(what: &str, found: &str, expected: &str) {
    let mut lines = found.lines().zip(expected.lines());
    let differs = lines.find(|(found, expected)| found != expected);
    assert!(
        differs.is_none() && found.lines().count() == expected.lines().count(),
        "{what}, found and expected: {differs:#?}\n\
         Saved bytes mean something else now: raise FORMAT. Only when fields were renamed and \
         nothing else, delete the files of fields, run this again and commit what it writes."
    );
}
