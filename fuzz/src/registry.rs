//! Imports key registries: files of both kinds, and the records of a topic.

use std::path::Path;

use keywatch::event::{EventTime, KeyHash};
use keywatch::registry::{Entry, Import, KeyNews, Known, Registry, Repeats};

const NOW: EventTime = EventTime::from_seconds(1_800_000_000);

/// Each raw key has the same hash, so that keys collide.
fn hasher(_: &str) -> Option<KeyHash> {
    KeyHash::parse(&"07".repeat(32))
}

/// What is known after an import.
fn known(import: &Import) -> Known {
    let keys = import.change.keys.iter();
    Known {
        keys: keys.map(|key| (key.key_id.clone(), key.clone())).collect(),
        events: import.change.events.iter().cloned().collect(),
    }
}

/// Reads the text as CSV, as JSON lines, and as the records of a topic.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for name in ["keys.csv", "keys.jsonl"] {
        if let Ok(entries) = Entry::of_file(Path::new(name), text, &hasher) {
            file(&entries);
        }
    }
    let entry = |(offset, line)| Entry::read(offset, line, &hasher, NOW);
    let entries: Vec<Entry> = (0..).zip(text.lines()).map(entry).collect();
    let import = Import::of(&entries, &Known::default(), Repeats::Follow, NOW);
    Import::of(&entries, &known(&import), Repeats::Follow, NOW);
    learn(&import);
}

fn file(entries: &[Entry]) {
    let import = Import::of(entries, &Known::default(), Repeats::Refused, NOW);
    let again = Import::of(entries, &known(&import), Repeats::Refused, NOW);
    assert!(again.change.is_empty(), "a second import changes something: {:?}", again.change);
    learn(&import);
}

fn learn(import: &Import) {
    let mut registry = Registry::default();
    let keys = import.change.keys.clone();
    registry.learn(&KeyNews { number: 1, keys, ..KeyNews::default() });
    for key in &import.change.keys {
        registry.predecessor(&key.key_id);
        registry.canary(&key.key_id);
    }
    assert_eq!(registry.len(), import.change.keys.len());
}
