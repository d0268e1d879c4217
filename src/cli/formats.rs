//! `keywatch formats` shows the log formats, and checks a mapping.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Subcommand;
use toml::Table;

use super::CommandError;
use crate::config::DecodeConfig;
use crate::decode::{self, Decoder};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch formats list
  keywatch formats show nginx-json > mapping.toml
  keywatch formats check mapping.toml

A mapping that is right goes into the configuration as [decode.mapping], with
decode.format = \"custom\". One that begins with extends = \"nginx-json\" needs only what differs.")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the formats, with what each reads
    List,
    /// Print the mapping of a format, as a model for your own
    Show {
        /// The name of the format
        name: String,
    },
    /// Check a mapping of your own
    Check {
        /// A file with a mapping, as `keywatch formats show` prints one
        file: PathBuf,
    },
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let text = match &args.command {
        Command::List => list(),
        Command::Show { name } => show(name)?,
        Command::Check { file } => check(file)?,
    };
    let mut out = anstream::stdout();
    out.write_all(text.as_bytes()).context("cannot write to standard output")?;
    Ok(())
}

fn list() -> String {
    let own = ("keywatch", "Keywatch's own format: one JSON object a line".to_owned());
    let lines = std::iter::once(own).chain(decode::presets());
    lines.map(|(name, about)| format!("{name:16}{about}\n")).collect()
}

fn show(name: &str) -> Result<String, CommandError> {
    let text = decode::preset(name).ok_or_else(|| {
        let names: Vec<_> = decode::presets().map(|(name, _)| name).collect();
        anyhow!("{name} is not a format with a mapping; use one of: {}", names.join(", "))
    });
    text.map(str::to_owned).map_err(CommandError::Usage)
}

fn check(file: &Path) -> Result<String, CommandError> {
    let at = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {at}"))?;
    let wrong = |error: String| CommandError::Usage(anyhow!("{at}: {error}"));
    let mapping: Table = text.parse().map_err(|error: toml::de::Error| wrong(error.to_string()))?;
    let config =
        DecodeConfig { format: "custom".into(), mapping: Some(mapping), ..DecodeConfig::default() };
    Decoder::new(&config).map_err(|error| wrong(error.to_string()))?;
    Ok(format!("{at}: the mapping is right\n"))
}
