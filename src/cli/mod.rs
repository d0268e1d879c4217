//! The command line: one file a command.

mod check_config;
mod score_series;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "keywatch", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the effective configuration, secrets masked
    CheckConfig(check_config::Args),
    /// Score a `timestamp,value` CSV with the rate model alone
    ScoreSeries(score_series::Args),
}

/// A failure with the exit code it deserves.
#[derive(Debug)]
pub enum CommandError {
    /// The caller asked for something impossible: exit 2.
    Usage(anyhow::Error),
    /// It was tried and failed: exit 1.
    Failure(anyhow::Error),
}

impl From<anyhow::Error> for CommandError {
    fn from(error: anyhow::Error) -> Self {
        Self::Failure(error)
    }
}

/// Parses the arguments, runs the command, prints one line for a failure.
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::CheckConfig(args) => check_config::run(&args),
        Command::ScoreSeries(args) => score_series::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandError::Usage(error)) => fail(&error, 2),
        Err(CommandError::Failure(error)) => fail(&error, 1),
    }
}

fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    anstream::eprintln!("keywatch: {error:#}");
    ExitCode::from(code)
}
