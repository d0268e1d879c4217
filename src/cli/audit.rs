//! `keywatch audit` checks the audit log.

use std::path::PathBuf;

use anyhow::anyhow;
use serde_json::json;

use super::alerts::print;
use super::{CommandError, load_config};
use crate::audit::Head;
use crate::store::{Audited, Store};
use crate::text::{counted, visible, visible_json};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch audit verify -c keywatch.toml
  keywatch audit verify --noted 1841:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

The service logs the head of the chain whenever it grows. A head that is noted outside the database
shows that nobody has cut off the end of the log.")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Follow the chain from its first link, and compare each link with the row it was made of
    Verify(VerifyArgs),
}

#[derive(clap::Args)]
struct VerifyArgs {
    /// A head that was noted before
    #[arg(long, value_name = "NUMBER:HASH", value_parser = head)]
    noted: Option<Head>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let config = load_config(args.config.as_deref())?;
    let Action::Verify(args) = &args.action;
    let store = Store::new(&config.clickhouse);
    let audited = super::runtime()?.block_on(store.audit(args.noted.as_ref()));
    let audited = audited.map_err(anyhow::Error::from)?;
    if args.json {
        print(&visible_json(&as_json(&audited).to_string()))?;
        print("\n")?;
    } else if audited.broken.is_none() {
        print(&in_words(&audited, args.noted.is_some()))?;
    }
    match audited.broken {
        None => Ok(()),
        Some((number, name, broken)) => {
            let (name, broken) = (visible(&name), visible(&broken.to_string()));
            Err(CommandError::Failure(anyhow!("link {number} ({name}) is broken: {broken}")))
        }
    }
}

fn as_json(audited: &Audited) -> serde_json::Value {
    let broken = audited.broken.as_ref().map(|(number, row, broken)| {
        json!({ "number": number, "row": row, "reason": broken.to_string() })
    });
    json!({
        "links": audited.links, "head": audited.head.to_string(), "waiting": audited.waiting,
        "replaced": audited.replaced,
        "broken": broken,
    })
}

fn in_words(audited: &Audited, is_end_checked: bool) -> String {
    let waiting = match audited.waiting {
        0 => String::new(),
        count => format!("{} without a link yet\n", counted(count as usize, "row")),
    };
    let replaced = match audited.replaced {
        0 => String::new(),
        count => {
            format!("{} replaced by others of the same place\n", counted(count as usize, "row"))
        }
    };
    let end = if is_end_checked {
        "the log holds the noted head\n"
    } else {
        "whether links are missing at the end is not known: give a head from the service's log with \
         --noted\n"
    };
    let links = counted(audited.links as usize, "link");
    format!("{links}, none is broken; the head is {}\n{end}{replaced}{waiting}", audited.head)
}

fn head(text: &str) -> Result<Head, String> {
    Head::read(text).ok_or_else(|| "give a number and a hash, as `audit verify` prints them".into())
}
