//! A case: an incident with its requests and decisions, as one `.tar.gz`.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use tempfile::{NamedTempFile, TempDir};

use crate::alert::Alert;
use crate::event::EventTime;

/// Raised when a reader of an older version could not read a case.
const FORMAT: u32 = 1;
/// The folder in the archive.
const FOLDER: &str = "case";
/// The files that a replay reads. All others are for people.
const REPLAYED: [&str; 5] = [MANIFEST, ALERTS, REQUESTS, PLACES, KEYS];
/// Most that is unpacked in all: a few bytes of gzip may stand for very many.
const MOST_BYTES: u64 = 16 << 30;
/// The largest file, other than the requests, that is unpacked: these are read as a whole.
const MOST_IN_MEMORY: u64 = 64 << 20;

pub const MANIFEST: &str = "case.json";
pub const ALERTS: &str = "alerts.jsonl";
pub const REQUESTS: &str = "requests.jsonl";
pub const PLACES: &str = "places.jsonl";
pub const KEYS: &str = "keys.jsonl";

/// The first file of a case.
#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    pub incident: String,
    pub exported_at: EventTime,
    pub exported_by: String,
    /// The requests of this time are in the case.
    pub since: EventTime,
    pub until: EventTime,
    pub requests: u64,
}

impl Manifest {
    pub fn new(incident: &str, (since, until): (EventTime, EventTime), requests: u64) -> Self {
        Self {
            format: FORMAT,
            incident: incident.to_owned(),
            exported_at: EventTime::now(),
            exported_by: concat!("keywatch ", env!("CARGO_PKG_VERSION")).to_owned(),
            since,
            until,
            requests,
        }
    }
}

/// A case that is being written. It appears under its name only when it is whole, and nobody but
/// its owner may read it.
pub struct Writer {
    archive: tar::Builder<GzEncoder<BufWriter<NamedTempFile>>>,
    out: PathBuf,
    time: EventTime,
}

impl Writer {
    pub fn create(out: &Path) -> io::Result<Self> {
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
        let file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
        let gzip = GzEncoder::new(BufWriter::new(file), Compression::default());
        let (archive, out) = (tar::Builder::new(gzip), out.to_owned());
        Ok(Self { archive, out, time: EventTime::now() })
    }

    pub fn add(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.append(name, content.len() as u64, content)
    }

    pub fn add_file(&mut self, name: &str, file: &File) -> io::Result<()> {
        self.append(name, file.metadata()?.len(), file)
    }

    fn append(&mut self, name: &str, size: u64, content: impl Read) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o600);
        header.set_mtime((self.time.as_micros() / 1_000_000).max(0) as u64);
        self.archive.append_data(&mut header, format!("{FOLDER}/{name}"), content)
    }

    /// Ends the archive and gives it its name.
    pub fn finish(self) -> anyhow::Result<()> {
        let mut buffer = self.archive.into_inner()?.finish()?;
        buffer.flush()?;
        let file = buffer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        file.persist(&self.out)?;
        Ok(())
    }
}

/// A case whose files are unpacked, for as long as this lives.
pub struct Unpacked {
    folder: TempDir,
    pub manifest: Manifest,
    pub alerts: Vec<Alert>,
}

impl Unpacked {
    /// Unpacks the files that a replay needs. Other names of the archive are never used.
    ///
    /// # Errors
    /// The file is not a case, or one of a newer version.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let folder = tempfile::tempdir()?;
        let unpacked = unpack(file, folder.path());
        unpacked.with_context(|| format!("{} is not a case", path.display()))?;
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name));
        let manifest: Manifest = serde_json::from_str(&read(MANIFEST)?).context(MANIFEST)?;
        if manifest.format > FORMAT {
            bail!("{} was written by {}: take that version", path.display(), manifest.exported_by);
        }
        let alerts = read(ALERTS)?;
        let alerts = alerts.lines().map(serde_json::from_str).collect::<serde_json::Result<_>>();
        Ok(Self { alerts: alerts.context(ALERTS)?, manifest, folder })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn unpack(file: File, folder: &Path) -> anyhow::Result<()> {
    let mut archive = tar::Archive::new(GzDecoder::new(file).take(MOST_BYTES));
    let mut found = Vec::new();
    // Long names are entries of their own then, which nobody reads: no name of a case is long.
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let name = REPLAYED.into_iter().find(|name| path == Path::new(FOLDER).join(name));
        let Some(name) = name else { continue };
        if found.contains(&name) {
            bail!("it has {name} twice");
        }
        let most = if name == REQUESTS { MOST_BYTES } else { MOST_IN_MEMORY };
        let copied = io::copy(&mut (&mut entry).take(most), &mut File::create(folder.join(name))?)?;
        if copied == most {
            bail!("{name} is too large");
        }
        found.push(name);
    }
    match REPLAYED.into_iter().find(|name| !found.contains(name)) {
        Some(name) => Err(anyhow!("it has no {FOLDER}/{name}")),
        None => Ok(()),
    }
}
