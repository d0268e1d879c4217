//! `keywatch keys leaked`.

use std::io::{self, IsTerminal, Read};

use anyhow::{Context, anyhow};
use serde_json::json;

use super::usage;
use crate::cli::CommandError;
use crate::cli::alerts::{person, print};
use crate::cli::moment::moment;
use crate::config::Config;
use crate::event::{EventTime, KeyId};
use crate::leaks::{Finding, Intake, Named};
use crate::store::Author;
use crate::text::{counted, visible, visible_json};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch keys leaked ak_123 --source pastebin --url https://pastebin.example/x
  keywatch keys leaked ak_123 --at 3d -m 'in a public bucket since then'
  keywatch keys leaked < hashes.txt
  gitleaks-export | keywatch keys leaked --raw

A leak raises the incident `lifecycle.leaked_key` of the key at once, and again at its next use. The
policy decides about a revocation. The exit code is 1 if a key is neither registered nor was used.")]
pub struct Args {
    /// Ids of keys, or HMACs of raw keys; without any, one a line from standard input
    #[arg(value_name = "KEY")]
    keys: Vec<String>,
    /// Standard input holds raw keys, which are hashed at once
    #[arg(long, conflicts_with = "keys")]
    raw: bool,
    /// Who found it
    #[arg(long, value_name = "NAME", default_value = "report")]
    source: String,
    /// Where it was found
    #[arg(long, value_name = "URL", default_value = "")]
    url: String,
    /// Since when it is public, if it is not now: a time, or a duration before now
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<EventTime>,
    /// A comment
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Your name, if it is not the login name
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Print one JSON object for each key
    #[arg(long)]
    json: bool,
}

/// Longest address of a place.
const MAX_URL_BYTES: usize = 2_048;

pub async fn run(args: &Args, config: &Config) -> Result<(), CommandError> {
    let who = person::acting(args.by.as_deref())?;
    let source = person::name("--source", &args.source).map_err(usage)?;
    if args.url.len() > MAX_URL_BYTES || args.url.contains(char::is_control) {
        return Err(usage(format!("--url: at most {MAX_URL_BYTES} bytes in one line")));
    }
    let text = args.message.as_deref().map(person::message).transpose().map_err(usage)?;
    let mut intake = Intake::open(config).map_err(|error| usage(error.to_string()))?;
    let finding = |named| Finding {
        named,
        since: args.at.unwrap_or_else(EventTime::now),
        source: source.clone(),
        url: args.url.clone(),
        text: text.clone().unwrap_or_default(),
    };
    let findings: Vec<Finding> = named(args, &intake)?.into_iter().map(finding).collect();
    let author = Author { who: &who, origin: "command_line" };
    let keys = intake.take(&findings, author).await.map_err(anyhow::Error::from)?;
    tell(args, &findings, &keys)
}

fn named(args: &Args, intake: &Intake) -> Result<Vec<Named>, CommandError> {
    if !args.keys.is_empty() {
        return Ok(args.keys.iter().map(|key| Named::parse(key)).collect());
    }
    if io::stdin().is_terminal() {
        return Err(usage("name keys, or write them to standard input, one a line".to_owned()));
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let name = |line: &str| {
        if args.raw {
            intake.name_of(line).map_err(|error| usage(error.to_string()))
        } else {
            Ok(Named::parse(line))
        }
    };
    lines.map(name).collect()
}

fn tell(args: &Args, findings: &[Finding], keys: &[Option<KeyId>]) -> Result<(), CommandError> {
    let mut text = String::new();
    for (finding, key) in findings.iter().zip(keys) {
        let name = finding.named.text();
        text += &if args.json {
            visible_json(&json!({ "given": name, "key_id": key }).to_string())
        } else {
            let name = visible(&name);
            match key {
                Some(key) => format!("{name}: the leak of {} is recorded", visible(key)),
                None => format!("{name}: is neither registered nor was used"),
            }
        };
        text.push('\n');
    }
    print(&text)?;
    let unknown = keys.iter().filter(|key| key.is_none()).count();
    if unknown == 0 {
        return Ok(());
    }
    let keys = counted(unknown, "key");
    Err(CommandError::Failure(anyhow!("{keys} not found; the leaks of the others are recorded")))
}
