//! `keywatch migrate`: brings the database to the schema of this version.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::CommandError;
use crate::config::Config;
use crate::store::Store;

#[derive(clap::Args)]
pub struct Args {
    /// Configuration file; without it the defaults: localhost, user default, no password
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let config = args.config.as_deref().map_or_else(|| Ok(Config::default()), load)?.clickhouse;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let applied = runtime.block_on(Store::new(&config).migrate()).map_err(anyhow::Error::from)?;
    for name in &applied {
        anstream::println!("applied {name}");
    }
    if applied.is_empty() {
        anstream::println!("{} is up to date", config.database);
    }
    Ok(())
}

fn load(path: &Path) -> Result<Config, CommandError> {
    let text = std::fs::read_to_string(path)
        .with_context(|| path.display().to_string())
        .map_err(CommandError::Usage)?;
    toml::from_str(&text).with_context(|| path.display().to_string()).map_err(CommandError::Usage)
}
