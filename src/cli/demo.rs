//! `keywatch demo` runs the service on simulated traffic.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use anyhow::{Context, anyhow};

use super::CommandError;
use crate::config::LogConfig;
use crate::demo::{self, DemoError, Options};
use crate::http::listener::ListenError;
use crate::telemetry;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch demo
  keywatch demo --rate 1000 --seconds 300
  keywatch demo --keep demo-data && keywatch clickhouse --path demo-data/clickhouse")]
pub struct Args {
    /// Requests a second of the live part
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    rate: u32,
    /// Length of the live part in seconds; Ctrl-C ends it earlier
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(5..=86_400))]
    seconds: u32,
    /// Port of /metrics, /healthz and /readyz on 127.0.0.1 [default: any free one]
    #[arg(long, value_name = "P")]
    port: Option<u16>,
    /// Keep ClickHouse's data and the mails in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Keep the console up after the end, until Ctrl-C [default: on a terminal]
    #[arg(long)]
    stay: bool,
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    // The demo prints its messages on standard output, so the log carries warnings and errors only.
    let log = LogConfig { filter: "warn".into(), ..LogConfig::default() };
    telemetry::logging::init(&log).map_err(|error| anyhow!(error))?;
    let options = Options {
        rate: args.rate.into(),
        seconds: args.seconds.into(),
        port: args.port,
        keep: args.keep.clone(),
        stay: args.stay || io::stdout().is_terminal(),
    };
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    runtime.block_on(demo::run(&options)).map_err(|error| match error {
        DemoError::Listen(ListenError { address, reason, .. }) => CommandError::Usage(anyhow!(
            "--port {}: {reason}; choose another or leave it out",
            address.port()
        )),
        DemoError::Directory { .. } => CommandError::Usage(error.into()),
        other => CommandError::Failure(other.into()),
    })
}
