//! Tests of the repository itself: documents, containers, set-up.

#![allow(clippy::unwrap_used, clippy::panic)]

mod deploy;
mod docs;
mod setup;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of the repository.
fn text(path: impl AsRef<Path>) -> String {
    let path: PathBuf = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
