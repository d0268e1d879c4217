//! `keywatch alerts playbook`.

use anyhow::anyhow;

use super::acting::unknown_incident;
use super::print;
use crate::casework;
use crate::cli::CommandError;
use crate::playbook::filled;
use crate::store::Store;
use crate::text::visible;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch alerts playbook inc_9c0f6a1b2d3e4f5061728394
  keywatch alerts playbook inc_9c0f6a1b2d3e4f5061728394 | less

It is the page of docs/playbooks for the strongest detector. A rule of the policy may name another
page, which is printed first.")]
pub struct Args {
    /// The incident's id
    id: String,
}

pub async fn run(args: &Args, store: &Store) -> Result<(), CommandError> {
    let mut cases = casework::load(store, &[&args.id]).await.map_err(anyhow::Error::from)?;
    let case = cases.remove(&args.id).ok_or_else(|| unknown_incident(&args.id))?;
    let alert = case.latest();
    if let Some(own) = &alert.guidance.playbook {
        print(&format!("The policy's rule names {}\n\n", visible(own)))?;
    }
    let page = filled(alert).ok_or_else(|| anyhow!("the incident names no detector"))?;
    print(&page)
}
