//! Tests the repository itself: documents, containers, set-up, import rules.

#![allow(clippy::unwrap_used, clippy::panic)]

mod deploy;
mod docs;
mod imports;
// Builds logs; the tests of the engine share it.
#[allow(dead_code)]
#[path = "../engine/scene.rs"]
mod scene;
mod setup;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads a file of the repository.
fn text(path: impl AsRef<Path>) -> String {
    let path: PathBuf = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
