//! Where the set-up keeps what it fetched: ClickHouse, address databases, an SMTP server.

use std::env;
use std::path::PathBuf;

/// `KEYWATCH_CACHE`, or `keywatch` in the user's cache directory.
pub(crate) fn root() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("KEYWATCH_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("keywatch")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/keywatch")))
}
