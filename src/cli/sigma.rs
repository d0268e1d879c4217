//! `keywatch sigma` turns a Sigma rule into a query.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use serde_json::json;

use super::CommandError;
use crate::sigma::{self, FIELDS};
use crate::text::{visible, visible_json};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch sigma rule.yml
  keywatch sigma rule.yml --days 30 | clickhouse-client --database keywatch
  keywatch sigma rule.yml --json | jq -r .query
  keywatch sigma --fields

The query finds stored requests. docs/SIGMA.md lists what of Sigma is supported.")]
pub struct Args {
    /// A rule about access logs, in YAML
    #[arg(required_unless_present = "fields")]
    file: Option<PathBuf>,
    /// Ask about the requests of so many days
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// Ask for the latest so many requests
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print one JSON object: title, id and level of the rule, and the query
    #[arg(long)]
    json: bool,
    /// List the fields that rules may name, and the column of each
    #[arg(long, conflicts_with_all = ["file", "json"])]
    fields: bool,
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let text = match &args.file {
        Some(file) => of_rule(file, args)?,
        None => fields(),
    };
    anstream::stdout().write_all(text.as_bytes()).context("cannot write to standard output")?;
    Ok(())
}

fn of_rule(file: &Path, args: &Args) -> Result<String, CommandError> {
    let rule = read(file)
        .map_err(|error| CommandError::Usage(anyhow!("cannot read {}: {error}", file.display())))?;
    // A byte order mark is no part of the rule.
    let rule = rule.trim_start_matches('\u{feff}');
    let query = sigma::query(rule, args.days, args.limit).map_err(|error| {
        let said = visible(&format!("{}: {error}", file.display()));
        CommandError::Usage(anyhow!("{said}"))
    })?;
    if !args.json {
        return Ok(query.sql);
    }
    let (title, id, level) = (&query.title, &query.id, &query.level);
    let json = json!({ "title": title, "id": id, "level": level, "query": query.sql });
    Ok(visible_json(&json.to_string()) + "\n")
}

/// Reads one byte more than a rule may have at most: whatever the file is, it is not read whole.
fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(file)?.take(sigma::MOST_BYTES as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

fn fields() -> String {
    let line = |field: &sigma::Field| format!("{}\t{}\n", field.sql, field.names.join(" "));
    FIELDS.iter().map(line).collect()
}
