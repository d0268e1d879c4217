//! `keywatch completions` and `keywatch man`: what a package installs beside the binary.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, CommandError};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch completions bash > /usr/share/bash-completion/completions/keywatch
  keywatch completions zsh > /usr/share/zsh/site-functions/_keywatch
  keywatch completions fish > ~/.config/fish/completions/keywatch.fish")]
pub struct Args {
    shell: Shell,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch man | man -l -
  keywatch man --out /usr/share/man/man1")]
pub struct ManArgs {
    /// Write one page for each command into this directory, instead of the first one to standard
    /// output
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "keywatch", &mut script);
    print(&script)
}

pub fn man(args: &ManArgs) -> Result<(), CommandError> {
    match &args.out {
        None => print(&page(Cli::command())?),
        Some(directory) => Ok(write_pages(directory)?),
    }
}

fn page(command: clap::Command) -> anyhow::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).context("cannot write the page")?;
    Ok(page)
}

fn write_pages(directory: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot write to {}", directory.display());
    std::fs::create_dir_all(directory).with_context(cannot)?;
    clap_mangen::generate_to(Cli::command(), directory).with_context(cannot)
}

/// A reader that has seen enough (`| head`) is not an error.
fn print(bytes: &[u8]) -> Result<(), CommandError> {
    match std::io::stdout().write_all(bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written.context("cannot write to standard output")?),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_and_every_page_knows_every_command() {
        let names: Vec<String> =
            Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "keywatch", &mut script);
            let script = String::from_utf8(script).unwrap();
            for name in &names {
                assert!(script.contains(name.as_str()), "{name} for {shell}");
            }
        }
        let folder = tempfile::tempdir().unwrap();
        write_pages(folder.path()).unwrap();
        for name in &names {
            assert!(folder.path().join(format!("keywatch-{name}.1")).exists(), "{name}");
        }
    }
}
