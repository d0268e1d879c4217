//! Reads a policy to compare: a configuration, or a file of rules alone.

use std::path::Path;

use anyhow::Context;

use crate::cli::{CommandError, load_config};
use crate::config::{Config, Rulebook};

/// The configuration of `path`. A file of rules takes its place in `base`, or in the defaults.
pub fn load(path: &Path, base: Option<&Path>) -> Result<Config, CommandError> {
    if !is_rules(path)? {
        return load_config(Some(path));
    }
    let mut config = load_config(base)?;
    let channels = base.is_some().then(|| config.route_names());
    config.policy.rules = Rulebook::load(path, channels.as_deref())?;
    config.policy.version = path.display().to_string();
    Ok(config)
}

/// Whether the file has sections that only files of rules have.
fn is_rules(path: &Path) -> Result<bool, CommandError> {
    let context = || format!("cannot read the policy {}", path.display());
    let text = std::fs::read_to_string(path).with_context(context).map_err(CommandError::Usage)?;
    // Text that is not TOML is refused when it is read as a configuration, with its line.
    let table: toml::Table = toml::from_str(&text).unwrap_or_default();
    Ok(["rule", "costs", "exempt"].iter().any(|section| table.contains_key(*section)))
}
