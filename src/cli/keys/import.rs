//! `keywatch keys import`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use serde_json::json;

use super::{hasher, keys_of_file, usage};
use crate::cli::CommandError;
use crate::cli::alerts::{person, print};
use crate::config::Config;
use crate::keys::Taking;
use crate::registry::{Entry, Import, Refused, Repeats};
use crate::store::{Author, Store};
use crate::text::{count, counted, visible, visible_json};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch keys import keys.csv
  keywatch keys import keys.jsonl --dry-run --json
  export-keys | keywatch keys import -

A row has `key_id`, or `api_key` for the raw key, of which only the HMAC is kept. The other columns
are optional: owner, tenant, environment, class, tags, scopes, allowed_cidrs, created_at, expires_at,
revoked_at, rotated_to, grace_ends_at, status, canary. A row replaces the key's registration.
The exit code is 1 if a row was refused.")]
pub struct Args {
    /// CSV with a header line if the name ends in .csv, else one JSON object a line; `-` reads
    /// JSON from standard input
    file: PathBuf,
    /// Only tell what would change
    #[arg(long)]
    dry_run: bool,
    /// Your name, if it is not the login name
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// Refused rows that are told without `--json`.
const TOLD: usize = 50;

pub async fn run(args: &Args, config: &Config, store: &Arc<Store>) -> Result<(), CommandError> {
    let who = person::acting(args.by.as_deref())?;
    let text = read(&args.file)?;
    let import = take(args, config, store, &text, &who).await?;
    warn_of_file(config, &import)?;
    let refused = import.refused.len();
    tell(args, &import)?;
    if refused > 0 {
        let rows = counted(refused, "row");
        let are = if refused == 1 { "was" } else { "were" };
        let rest = if args.dry_run { "nothing was stored" } else { "the others are in" };
        return Err(CommandError::Failure(anyhow!("{rows} {are} refused; {rest}")));
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, CommandError> {
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read {}", path.display())).map_err(CommandError::Usage)?;
    Ok(text)
}

async fn take(
    args: &Args,
    config: &Config,
    store: &Arc<Store>,
    text: &str,
    who: &str,
) -> Result<Import, CommandError> {
    let hasher = hasher(config)?;
    let entries = Entry::of_file(&args.file, text, &|raw| hasher.hash(raw));
    let entries = entries.map_err(|error| usage(error.to_string()))?;
    let (taking, author) = (Taking::new(Arc::clone(store)), Author { who, origin: "command_line" });
    let import = if args.dry_run {
        taking.try_out(&entries, Repeats::Refused).await
    } else {
        taking.take(&entries, Repeats::Refused, author).await
    };
    Ok(import.map_err(anyhow::Error::from)?)
}

fn warn_of_file(config: &Config, import: &Import) -> Result<(), CommandError> {
    let in_file = keys_of_file(config)?;
    let both = import.change.keys.iter().filter(|key| in_file.contains(&key.key_id)).count();
    if both > 0 {
        let keys = counted(both, "key");
        anstream::eprintln!(
            "{keys} of these are in detect.registry_file too, where they count as that file says"
        );
    }
    Ok(())
}

fn tell(args: &Args, import: &Import) -> Result<(), CommandError> {
    let Import { added, changed, unchanged, refused, .. } = import;
    if args.json {
        let row = |row: &Refused| json!({ "line": row.number, "reason": row.reason });
        let refused: Vec<_> = refused.iter().map(row).collect();
        let json = json!({
            "added": added, "changed": changed, "unchanged": unchanged, "refused": refused,
            "dry_run": args.dry_run,
        });
        return print(&(visible_json(&json.to_string()) + "\n"));
    }
    let name = visible(&args.file.display().to_string());
    for Refused { number, reason } in refused.iter().take(TOLD) {
        anstream::eprintln!("{name}:{number}: {}", visible(reason));
    }
    if refused.len() > TOLD {
        let more = count(refused.len() - TOLD);
        anstream::eprintln!("and {more} more rows; --json names them all");
    }
    let would = if args.dry_run { "would be " } else { "" };
    let [added, changed, unchanged, refused] =
        [*added, *changed, *unchanged, refused.len()].map(count);
    print(&format!(
        "{name}: {added} {would}added, {changed} {would}changed, {unchanged} unchanged, {refused} \
         refused\n"
    ))
}
