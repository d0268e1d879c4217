//! `keywatch keys` shows and changes the key registry in ClickHouse.

mod event;
mod import;
mod leaked;
mod list;
mod report;
mod show;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use clap::Subcommand;

use super::{CommandError, load_config};
use crate::config::Config;
use crate::decode::KeyHasher;
use crate::event::KeyId;
use crate::registry::Registry;
use crate::store::Store;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch keys import keys.csv
  keywatch keys list --owner payments@example.com --status active
  keywatch keys show ak_123
  keywatch keys event ak_123 rotated --to ak_124 --grace 7d

docs/KEYS.md explains the columns of a file, and how the file of `detect.registry_file` and the
registry in ClickHouse go together.")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Action {
    /// Take the keys of a file into the registry; bad rows are named, and the others go in
    Import(import::Args),
    /// List keys: a table on a terminal, else tab-separated lines
    List(list::Args),
    /// Show one key: its facts, where it is in its life, and what happened to it
    Show(show::Args),
    /// Show what to clean up: unused keys and scopes, overdue rotations, shared keys, ...
    Report(report::Args),
    /// Report that keys have leaked
    Leaked(leaked::Args),
    /// Record what happened to a key: rotated, suspended, revoked, answered, ...
    Event(event::Args),
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let config = load_config(args.config.as_deref())?;
    let store = Arc::new(Store::new(&config.clickhouse));
    let runtime = super::runtime()?;
    runtime.block_on(async {
        match &args.action {
            Action::Import(args) => import::run(args, &config, &store).await,
            Action::List(args) => list::run(args, &store).await,
            Action::Show(args) => show::run(args, &store).await,
            Action::Report(args) => report::run(args, &store).await,
            Action::Leaked(args) => leaked::run(args, &config).await,
            Action::Event(args) => event::run(args, &config, &store).await,
        }
    })
}

fn usage(sentence: String) -> CommandError {
    CommandError::Usage(anyhow!(sentence))
}

fn hasher(config: &Config) -> Result<KeyHasher, CommandError> {
    KeyHasher::new(&config.decode).map_err(|error| usage(error.to_string()))
}

/// The keys of the configured registry file, which count as the file says.
pub(super) fn keys_of_file(config: &Config) -> Result<HashSet<KeyId>, CommandError> {
    let Some(path) = &config.detect.registry_file else { return Ok(HashSet::new()) };
    let hasher = hasher(config)?;
    let keys = Registry::keys_of_file(path, &|raw| hasher.hash(raw));
    let keys = keys.map_err(|error| usage(error.to_string()))?;
    Ok(keys.into_iter().map(|key| key.key_id).collect())
}
