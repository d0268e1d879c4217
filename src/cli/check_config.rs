//! `keywatch check-config`

use super::CommandError;

#[derive(clap::Args)]
pub struct Args {}

pub fn run(_args: &Args) -> Result<(), CommandError> {
    Ok(())
}
