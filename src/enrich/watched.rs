//! A database file that may be replaced while we run.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::EnrichError;

type Open<D> = fn(&Path) -> Result<D, EnrichError>;

pub(super) struct Watched<D> {
    path: PathBuf,
    open: Open<D>,
    stamp: Option<Stamp>,
    pub database: D,
}

/// What changes when a file is replaced, renamed over or written to. `None`: no such file.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    size: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok(),
            size: metadata.len(),
            inode: metadata.ino(),
        })
    }
}

impl<D> Watched<D> {
    pub fn open(path: &Path, open: Open<D>) -> Result<Self, EnrichError> {
        // Before reading, so that a replacement in between is noticed the next time.
        let stamp = Stamp::of(path);
        Ok(Self { database: open(path)?, path: path.into(), open, stamp })
    }

    /// Reads the file again if it is another one; says whether it did. A file that cannot be
    /// read leaves the old database in use, and is an error only once.
    pub fn reload_if_replaced(&mut self) -> Result<bool, EnrichError> {
        let stamp = Stamp::of(&self.path);
        if stamp == self.stamp {
            return Ok(false);
        }
        self.stamp = stamp;
        self.database = (self.open)(&self.path)?;
        Ok(true)
    }
}
