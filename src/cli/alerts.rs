//! `keywatch alerts` shows the alerts in ClickHouse, for the terminal and for scripts.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Subcommand;

use super::{CommandError, load_config};
use crate::store::{Store, Table, analyst_query};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch alerts list
  keywatch alerts show inc_9c0f6a1b2d3e4f5061728394 | jq .explanation")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Action {
    /// List open incidents, the riskiest first, one line each
    List,
    /// Print every revision of one incident, one JSON object a line
    Show {
        /// The id, as the mail, the webhook and `alerts list` show it
        id: String,
    },
}

const REVISIONS: &str = "SELECT alert FROM alerts FINAL WHERE id = {id:String} ORDER BY revision";

pub fn run(args: &Args) -> Result<(), CommandError> {
    let store = Store::new(&load_config(args.config.as_deref())?.clickhouse);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let text = match &args.action {
        Action::List => {
            let query = analyst_query("open_alerts").context("the query open_alerts is missing")?;
            let table = runtime.block_on(store.query_table(query.sql, &[]));
            tab_separated(&table.map_err(anyhow::Error::from)?)
        }
        Action::Show { id } => {
            let table = runtime.block_on(store.query_table(REVISIONS, &[("id", id)]));
            let rows = table.map_err(anyhow::Error::from)?.rows;
            if rows.is_empty() {
                return Err(anyhow!(
                    "no alert has the id {id}; `keywatch alerts list` names those that are open"
                )
                .into());
            }
            rows.into_iter().map(|row| row.concat() + "\n").collect()
        }
    };
    anstream::stdout().write_all(text.as_bytes()).context("cannot write to standard output")?;
    Ok(())
}

/// The header line, then one line a row.
fn tab_separated(table: &Table) -> String {
    let lines = std::iter::once(&table.columns).chain(&table.rows);
    lines.map(|line| line.join("\t") + "\n").collect()
}
