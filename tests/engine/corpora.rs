//! The functions of the fuzz targets over their corpora, and over seeded damage of each entry.
//! `make fuzz` runs the same functions under libFuzzer.

use std::fs;
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

#[path = "../../fuzz/src/decode.rs"]
mod decode;
#[path = "../../fuzz/src/registry.rs"]
mod registry;
#[path = "../../fuzz/src/state.rs"]
mod state;
#[path = "../../fuzz/src/template.rs"]
mod template;

/// Damaged copies of each entry.
const COPIES: u64 = 8;

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let files = files(&format!("fuzz/corpus/{target}"));
    assert!(!files.is_empty(), "the corpus of {target} is empty");
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Runs each entry as it is, and damaged. The panic of a finding shows which one it was.
fn run(entries: &[Vec<u8>], target: fn(&[u8])) {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for entry in entries {
        target(entry);
        for _ in 0..COPIES {
            target(&damaged(entry, &mut random));
        }
    }
}

/// Up to eight bytes set, doubled or taken away.
fn damaged(entry: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = entry.to_vec();
    for _ in 0..=random.next_u32() % 8 {
        let place = random.next_u32() as usize % (bytes.len() + 1);
        let Some(&byte) = bytes.get(place) else {
            bytes.push(random.next_u32() as u8);
            continue;
        };
        match random.next_u32() % 4 {
            0 => drop(bytes.remove(place)),
            1 => bytes.insert(place, byte),
            2 => bytes[place] = byte ^ (1 << (random.next_u32() % 8)),
            _ => bytes[place] = b"\"\\{}[],:\0\x7f\xff-9e"[random.next_u32() as usize % 14],
        }
    }
    bytes
}

#[test]
fn no_record_breaks_a_format() {
    let mut entries = corpus("decode");
    for file in files("tests/fixtures/logs").iter().chain(&files("tests/fixtures/decode")) {
        let text = fs::read(file).unwrap();
        entries.extend(text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec));
    }
    run(&entries, decode::run);
}

#[test]
fn no_registry_breaks_the_import() {
    run(&corpus("registry"), registry::run);
}

#[test]
fn no_chunk_breaks_the_restoration() {
    run(&corpus("state"), state::run);
}

#[test]
fn no_template_and_no_text_of_an_attacker_breaks_a_channel() {
    run(&corpus("template"), template::run);
}
