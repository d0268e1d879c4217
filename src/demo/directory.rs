//! Manages the directory of the demo's data and mails.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::DemoError;
use super::screen::Screen;

pub(super) enum Directory {
    /// Removed when dropped.
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Directory {
    /// Creates `kept` if it does not exist; without it the directory is a temporary one.
    pub(super) fn new(kept: Option<&Path>) -> Result<Self, DemoError> {
        let unusable = |path: &Path, reason| DemoError::Directory { path: path.to_owned(), reason };
        let Some(path) = kept else {
            let made = tempfile::Builder::new().prefix("keywatch-demo-").tempdir();
            return made.map(Self::Temporary).map_err(|e| unusable(&std::env::temp_dir(), e));
        };
        std::fs::create_dir_all(path).map_err(|error| unusable(path, error))?;
        Ok(Self::Kept(path.to_owned()))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Temporary(directory) => directory.path(),
            Self::Kept(path) => path,
        }
    }

    /// Prints how to look at the data that stays.
    pub(super) fn say_what_stays(&self, screen: &Screen) {
        screen.say(&match self {
            Self::Temporary(_) => {
                "\nNo data is kept. To keep it for later: keywatch demo --keep DIR"
                    .into()
            }
            Self::Kept(path) => format!(
                "\nMails are in {0}/mails. To query the data: keywatch clickhouse --path {0}/clickhouse",
                path.display()
            ),
        });
    }
}
