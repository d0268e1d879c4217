//! Remembers, across restarts, what was answered to which message and which keys are suspended.
//!
//! A file of JSON, one object a line; lines are only added. Each line is on the disk before the step
//! that follows it: an intent before the store is asked, an answer before it is sent.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
pub struct Entry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    word: Option<String>,
    /// The end of the suspension, in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
    #[serde(default)]
    resumed: bool,
}

impl Entry {
    pub fn begin(id: &str, key: &str, until: Option<i64>) -> Self {
        Self { id: Some(id.to_owned()), key: key.to_owned(), until, ..Self::default() }
    }

    pub fn settled(id: &str, key: &str, word: &str) -> Self {
        Self { word: Some(word.to_owned()), ..Self::begin(id, key, None) }
    }

    pub fn resumed(key: &str) -> Self {
        Self { key: key.to_owned(), resumed: true, ..Self::default() }
    }
}

pub struct Journal {
    file: File,
    answers: HashMap<String, String>,
    begun: HashSet<String>,
    revoked: HashSet<String>,
    suspended: HashMap<String, i64>,
}

impl Journal {
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = open.with_context(|| format!("cannot open {}", path.display()))?;
        let mut journal = Self {
            file,
            answers: HashMap::new(),
            begun: HashSet::new(),
            revoked: HashSet::new(),
            suspended: HashMap::new(),
        };
        let (mut reader, mut line, mut end) =
            (BufReader::new(journal.file.try_clone()?), Vec::new(), 0);
        // A process that was killed may leave half a line, which never took effect.
        while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            journal.apply(&serde_json::from_slice(&line).context("a line of the journal")?);
            end += line.len() as u64;
            line.clear();
        }
        journal.file.set_len(end)?;
        journal.file.seek(SeekFrom::End(0))?;
        Ok(journal)
    }

    pub fn add(&mut self, entry: &Entry) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        self.apply(entry);
        Ok(())
    }

    fn apply(&mut self, entry: &Entry) {
        let Some(id) = &entry.id else {
            self.suspended.remove(&entry.key);
            return;
        };
        self.begun.insert(id.clone());
        // Also of an intent: the store may have suspended the key before the process ended.
        if let Some(until) = entry.until {
            let end = self.suspended.entry(entry.key.clone()).or_insert(until);
            *end = until.max(*end);
        }
        let Some(word) = &entry.word else { return };
        self.answers.insert(id.clone(), word.clone());
        if word == "revoked" {
            self.revoked.insert(entry.key.clone());
            self.suspended.remove(&entry.key);
        }
    }

    pub fn answer(&self, id: &str) -> Option<&str> {
        self.answers.get(id).map(String::as_str)
    }

    pub fn was_begun(&self, id: &str) -> bool {
        self.begun.contains(id)
    }

    pub fn is_revoked(&self, key: &str) -> bool {
        self.revoked.contains(key)
    }

    /// Keys whose suspension has ended.
    pub fn ended(&self, now: i64) -> Vec<String> {
        let ended = self.suspended.iter().filter(|(_, end)| **end <= now);
        ended.map(|(key, _)| key.clone()).collect()
    }
}
