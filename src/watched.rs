//! Reads a file again when another one replaces it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

type Read<T, E> = Box<dyn Fn(&Path) -> Result<T, E> + Send + Sync>;

/// The value read from a file, and the stamp by which a replacement of the file is noticed.
pub(crate) struct Watched<T, E> {
    path: PathBuf,
    read: Read<T, E>,
    stamp: Option<Stamp>,
    pub value: T,
}

/// Changes when the file is replaced, renamed over or written to. `None`: the file does not exist.
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

impl<T, E> Watched<T, E> {
    /// # Errors
    /// Those of `read`.
    pub fn open(
        path: &Path,
        read: impl Fn(&Path) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        // The stamp is taken before reading, so that a replacement in between is noticed the next
        // time.
        let stamp = Stamp::of(path);
        Ok(Self { value: read(path)?, path: path.into(), read: Box::new(read), stamp })
    }

    /// Reads the file again if it was replaced, and returns whether it was. A file that cannot be
    /// read keeps the old value and is an error only once.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn reload_if_replaced(&mut self) -> Result<bool, E> {
        let stamp = Stamp::of(&self.path);
        if stamp == self.stamp {
            return Ok(false);
        }
        self.stamp = stamp;
        self.value = (self.read)(&self.path)?;
        Ok(true)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::num::ParseIntError;

    use super::*;

    fn number(path: &Path) -> Result<u32, ParseIntError> {
        fs::read_to_string(path).unwrap().parse()
    }

    #[test]
    fn a_replaced_file_is_read_again_and_an_unreadable_one_is_an_error_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        fs::write(&path, "7").unwrap();
        let mut watched = Watched::open(&path, number).unwrap();
        assert_eq!(watched.reload_if_replaced(), Ok(false));
        fs::write(&path, "42").unwrap();
        assert_eq!(watched.reload_if_replaced(), Ok(true));
        assert_eq!(watched.value, 42);
        fs::write(&path, "not a number").unwrap();
        assert!(watched.reload_if_replaced().is_err());
        assert_eq!(watched.reload_if_replaced(), Ok(false));
        assert_eq!(watched.value, 42);
    }
}
