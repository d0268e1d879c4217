//! `keywatch run` runs the service.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{CommandError, load_config};
use crate::app::{self, Summary};
use crate::config::Config;
use crate::console::{self, Console};
use crate::http::tls;
use crate::keys;
use crate::leaks;
use crate::telemetry::{self, Health};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch run -c keywatch.toml
  zcat access.jsonl.gz | KEYWATCH__SOURCE__KIND=stdin keywatch run -c keywatch.toml")]
pub struct Args {
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let config = load_config(args.config.as_deref())?;
    telemetry::logging::init(&config.log).map_err(|error| CommandError::Usage(anyhow!(error)))?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let summary = runtime.block_on(serve(&config))?;
    info!(?summary, "ended");
    Ok(())
}

async fn serve(config: &Config) -> Result<Summary, CommandError> {
    let metrics = telemetry::metrics::install().map_err(|error| anyhow!(error))?;
    let health = Health::default();
    let shutdown = CancellationToken::new();
    let listener =
        telemetry::ops::bind(config.service.listen).await.map_err(|error| anyhow!(error))?;
    let address = listener.local_addr().context("service.listen")?;
    let tls = tls::acceptor("service.tls", &config.service.tls).map_err(|error| anyhow!(error))?;
    // The endpoints answer until the process ends; stopping them early would save no data.
    let never = CancellationToken::new();
    tokio::spawn(telemetry::ops::serve(listener, tls, metrics, health.clone(), never));
    tokio::spawn(cancel_on_signal(shutdown.clone()));
    info!(%address, "answering /metrics, /healthz and /readyz");
    if config.console.enabled {
        open_console(config, &health, &shutdown).await;
    }
    if let Some(leaks) = &config.leaks {
        let endpoint = leaks::open(config, leaks);
        let endpoint = endpoint.map_err(|error| CommandError::Usage(anyhow!(error)))?;
        let listener = leaks::bind(leaks).await.map_err(|error| anyhow!(error))?;
        let address = listener.local_addr().context("leaks.listen")?;
        tokio::spawn(leaks::serve(listener, endpoint));
        info!(%address, "taking reports of leaked keys at POST /v1/leaks");
    }

    open_key_desk(config).await?;
    let outcome = app::run(config, &health, &shutdown).await;
    Ok(outcome?)
}

/// Serves the HTTP API of the key registry, if it has an address.
async fn open_key_desk(config: &Config) -> Result<(), CommandError> {
    let Some(address) = config.registry.listen else { return Ok(()) };
    let listener = keys::bind(address).await.map_err(|error| anyhow!(error))?;
    let address = listener.local_addr().context("registry.listen")?;
    let desk = keys::open(config, address);
    let desk = desk.map_err(|error| CommandError::Usage(anyhow!(error)))?;
    tokio::spawn(keys::serve(listener, desk));
    info!(%address, "taking keys at POST /v1/keys");
    Ok(())
}

/// Serves the console until the service shuts down. An address that another process has taken does
/// not keep the service from watching.
async fn open_console(config: &Config, health: &Health, shutdown: &CancellationToken) {
    let listener = match console::bind(&config.console).await {
        Ok(listener) => listener,
        Err(error) => {
            warn!(%error, "the console is not served; set console.listen to a free address");
            return;
        }
    };
    let address = listener.local_addr().unwrap_or(config.console.listen);
    let console = Console::new(config, health.clone());
    let tls = match tls::acceptor("console.tls", &config.console.tls) {
        Ok(tls) => tls,
        Err(error) => return warn!(%error, "the console is not served"),
    };
    tokio::spawn(console::serve(listener, tls, console, shutdown.clone()));
    info!(%address, "serving the console");
}

/// Cancels `shutdown` at the first SIGTERM or Ctrl-C, for a graceful end. The second ends the
/// process at once.
pub async fn cancel_on_signal(shutdown: CancellationToken) {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    let Ok(mut interrupt) = signal(SignalKind::interrupt()) else { return };
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    next().await;
    info!("shutting down: storing the batches in flight; a second signal ends at once");
    shutdown.cancel();
    next().await;
    std::process::exit(130);
}
