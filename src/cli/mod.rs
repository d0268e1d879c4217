//! Defines the command line; each command has its own file.

mod alerts;
mod audit;
mod backtest;
mod bundle;
mod check_config;
mod clickhouse;
mod completions;
mod demo;
mod diff;
mod doctor;
mod drill;
mod files;
mod formats;
mod generate;
mod hunt;
mod inputs;
mod keys;
mod listing;
mod logs;
mod migrate;
mod moment;
mod report;
mod run;
mod score_series;
mod sigma;
#[cfg(feature = "train")]
mod train;
mod users;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::app::{self, AppError};
use crate::backtest::BacktestError;
use crate::config::{Config, ConfigError};

#[derive(Parser)]
#[command(name = "keywatch", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service: read logs, score them, store them, deliver alerts
    Run(run::Args),
    /// Try it: a simulated fleet with attacks in it, on this machine
    Demo(demo::Args),
    /// Show incidents, and record what people do about them
    Alerts(alerts::Args),
    /// Find the stored requests of a key, an address, a network, a client or a route
    Hunt(hunt::Args),
    /// Turn a Sigma rule about access logs into a query over the stored requests
    Sigma(sigma::Args),
    /// Show and change the key registry: who owns a key, what it may do, and until when
    Keys(keys::Args),
    /// Send a marked attack on a canary key through the real path, and measure each hop
    Drill(drill::Args),
    /// Examine a log: what can be judged, what is missing, and how to log it
    Doctor(doctor::Args),
    /// Replay log files through the detectors, without any server
    Backtest(backtest::Args),
    /// Train the model of hourly behaviour from history
    #[cfg(feature = "train")]
    Train(train::Args),
    /// Compare two configurations on one history: which keys would each revoke?
    Diff(diff::Args),
    /// Show the log formats that can be read, and check a mapping of your own
    Formats(formats::Args),
    /// Write labelled traffic: ordinary keys, attacks, and benign patterns that look like attacks
    Generate(generate::Args),
    /// Score a series of counts with the rate model alone
    ScoreSeries(score_series::Args),
    /// Report on the last days: incidents, false alarms, drift of the models
    Report(report::Args),
    /// Check that nobody has changed the log of decisions, deliveries, approvals and settings
    Audit(audit::Args),
    /// Bring the database to the schema of this version
    Migrate(migrate::Args),
    /// Print the effective configuration, secrets masked
    CheckConfig(check_config::Args),
    /// Run the embedded ClickHouse server, on this machine only
    Clickhouse(clickhouse::Args),
    /// Say who may use the console and the API
    Users(users::Args),
    /// Print the completions of a shell
    Completions(completions::Args),
    /// Print the manual page, or write those of all commands
    Man(completions::ManArgs),
}

/// A failure with its exit code.
#[derive(Debug)]
pub enum CommandError {
    /// The arguments or the configuration cannot work: exit 2.
    Usage(anyhow::Error),
    /// The command started and failed: exit 1.
    Failure(anyhow::Error),
}

impl From<anyhow::Error> for CommandError {
    fn from(error: anyhow::Error) -> Self {
        Self::Failure(error)
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.into())
    }
}

/// The caller can repair a configuration that names something unusable, so that is a usage error.
impl From<AppError> for CommandError {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Decode(_) | AppError::Scorer(_) => Self::Usage(error.into()),
            _ => Self::Failure(error.into()),
        }
    }
}

impl From<BacktestError> for CommandError {
    fn from(error: BacktestError) -> Self {
        match error {
            BacktestError::Scorer(_) => Self::Usage(error.into()),
            BacktestError::Source(_) => Self::Failure(error.into()),
        }
    }
}

/// Parses the arguments, runs the command, prints one line for a failure.
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Alerts(args) => alerts::run(&args),
        Command::Hunt(args) => hunt::run(&args),
        Command::Sigma(args) => sigma::run(&args),
        Command::Keys(args) => keys::run(&args),
        Command::Drill(args) => drill::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Backtest(args) => backtest::run(&args),
        #[cfg(feature = "train")]
        Command::Train(args) => train::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Formats(args) => formats::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::ScoreSeries(args) => score_series::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Migrate(args) => migrate::run(&args),
        Command::CheckConfig(args) => check_config::run(&args),
        Command::Clickhouse(args) => clickhouse::run(&args),
        Command::Users(args) => users::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => completions::man(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandError::Usage(error)) => fail(&error, 2),
        Err(CommandError::Failure(error)) => fail(&error, 1),
    }
}

/// A runtime for commands that ask ClickHouse.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the runtime")
}

/// The configuration file, or the defaults without one, with overrides from the environment.
fn load_config(path: Option<&Path>) -> Result<Config, CommandError> {
    Ok(Config::load(path, std::env::vars(), app::check::check)?)
}

fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    anstream::eprintln!("keywatch: {error:#}");
    ExitCode::from(code)
}
