//! `keywatch check-config`

use std::env;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use serde_json::json;

use super::CommandError;
use crate::config::Config;

#[derive(clap::Args)]
pub struct Args {
    /// Configuration file; without it the defaults and the environment are shown
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object with `config` and `warnings`
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let config = Config::load(args.config.as_deref(), env::vars())?.with_properties_masked();
    let warnings = config.warnings();
    let text = if args.json {
        let report = json!({ "config": config, "warnings": warnings });
        format!("{report:#}\n")
    } else {
        for warning in warnings {
            anstream::eprintln!("warning: {warning}");
        }
        toml::to_string(&config).context("the configuration cannot be shown as TOML")?
    };
    let mut stdout = anstream::stdout();
    stdout.write_all(text.as_bytes()).context("cannot write to standard output")?;
    Ok(())
}
