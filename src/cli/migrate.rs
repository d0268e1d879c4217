//! `keywatch migrate` brings the database to the schema of this version.

use std::path::PathBuf;

use super::{CommandError, load_config};
use crate::store::Store;

#[derive(clap::Args)]
pub struct Args {
    /// Configuration file [default: none, only defaults and the environment]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let config = load_config(args.config.as_deref())?.clickhouse;
    let runtime = super::runtime()?;
    let applied = runtime.block_on(Store::new(&config).migrate()).map_err(anyhow::Error::from)?;
    for name in &applied {
        anstream::println!("applied {name}");
    }
    if applied.is_empty() {
        anstream::println!("{} is up to date", config.database);
    }
    Ok(())
}
