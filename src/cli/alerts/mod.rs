//! `keywatch alerts` shows the incidents in ClickHouse, and records what people do to them.

mod acting;
mod args;
mod export;
pub(super) mod filter;
mod list;
pub(super) mod person;
mod playbook;
mod sending;
mod show;
mod suppress;
mod undelivered;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;

use super::{CommandError, load_config};
use crate::store::Store;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch alerts list --severity high,critical --since 24h
  keywatch alerts show inc_9c0f6a1b2d3e4f5061728394 | jq .explanation
  keywatch alerts playbook inc_9c0f6a1b2d3e4f5061728394
  keywatch alerts ack inc_9c0f6a1b2d3e4f5061728394
  keywatch alerts approve inc_9c0f6a1b2d3e4f5061728394
  keywatch alerts assign inc_9c0f6a1b2d3e4f5061728394 --to alice
  keywatch alerts dismiss inc_9c0f6a1b2d3e4f5061728394 --reason false_travel -m 'on a flight'
  keywatch alerts dismiss --detector client.new_agent --since 2h --reason false_deploy --yes

docs/RESPONSE.md explains the states of an incident, and what is kept quiet after it is closed.")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Action {
    /// List incidents, the riskiest first: a table on a terminal, else tab-separated lines
    List(list::Args),
    /// Show one incident: on a terminal in words, else every revision as one JSON object a line
    Show(show::Args),
    /// Write an incident with its requests and decisions to one archive, which can be replayed
    Export(export::Args),
    /// Print what to do about an incident, with its values
    Playbook(playbook::Args),
    /// Acknowledge: somebody looks at it
    Ack(args::AckArgs),
    /// Assign to a person
    Assign(args::AssignArgs),
    /// Add a comment
    Comment(args::CommentArgs),
    /// Close: the key was misused
    Confirm(args::ConfirmArgs),
    /// Close: the key was not misused; a waiting revocation of it is withdrawn
    Dismiss(args::DismissArgs),
    /// Open a closed incident again
    Reopen(args::ReopenArgs),
    /// Approve the suspension or revocation that an incident proposes, or reject it
    Approve(args::ApproveArgs),
    /// Keep some evidence from people for a time, or all of some keys or tenants
    Suppress(suppress::SuppressArgs),
    /// List suppressions and maintenance windows, or end one
    Suppressions(suppress::SuppressionsArgs),
    /// Send one revision again, also one that was kept quiet or given up
    Redeliver(sending::RedeliverArgs),
    /// List what was not delivered, or send again what was given up
    Undelivered(undelivered::Args),
    /// Send a sample, marked as one, through a channel
    Test(sending::TestArgs),
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let config = load_config(args.config.as_deref())?;
    let store = Store::new(&config.clickhouse);
    let runtime = super::runtime()?;
    let quiet_hours = config.policy.quiet_hours_after_close;
    runtime.block_on(async {
        match &args.action {
            Action::List(args) => list::run(args, &store).await,
            Action::Show(args) => show::run(args, &store).await,
            Action::Export(args) => export::run(args, &store).await,
            Action::Playbook(args) => playbook::run(args, &store).await,
            Action::Ack(args) => acting::run(args.order()?, &store).await,
            Action::Assign(args) => acting::run(args.order()?, &store).await,
            Action::Comment(args) => acting::run(args.order()?, &store).await,
            Action::Confirm(args) => acting::run(args.order(quiet_hours)?, &store).await,
            Action::Dismiss(args) => acting::run(args.order(quiet_hours)?, &store).await,
            Action::Approve(args) => acting::run(args.order()?, &store).await,
            Action::Reopen(args) => acting::run(args.order()?, &store).await,
            Action::Suppress(args) => suppress::suppress(args, &store).await,
            Action::Suppressions(args) => suppress::suppressions(args, &store).await,
            Action::Redeliver(args) => sending::redeliver(args, &config, &store).await,
            Action::Undelivered(args) => undelivered::run(args, &config, &store).await,
            Action::Test(args) => sending::test(args, &config).await,
        }
    })
}

/// Writes to standard output.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    let written = anstream::stdout().write_all(text.as_bytes());
    Ok(written.context("cannot write to standard output")?)
}
