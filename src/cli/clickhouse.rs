//! `keywatch clickhouse` runs the embedded server in the foreground.

use std::path::PathBuf;

use anyhow::Context;

use super::CommandError;
use crate::config::ClickHouseConfig;
use crate::embedded::{EmbeddedError, ServeOptions, serve};
use crate::store::Store;

#[derive(clap::Args)]
pub struct Args {
    /// Directory of the data; created if it does not exist
    #[arg(long, value_name = "DIR")]
    path: PathBuf,
    /// Port of the HTTP interface on 127.0.0.1
    #[arg(long, default_value_t = 8123)]
    port: u16,
    /// Stop the server when standard input ends
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let options = ServeOptions {
        path: args.path.clone(),
        port: args.port,
        until_stdin_closes: args.until_stdin_closes,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(serve(&options, || say_when_ready(options.port)));
    // A read of standard input may never return.
    runtime.shutdown_background();
    outcome.map_err(|error| match error {
        EmbeddedError::PortTaken { .. } | EmbeddedError::DirectoryInUse { .. } => {
            CommandError::Usage(error.into())
        }
        other => CommandError::Failure(other.into()),
    })
}

fn say_when_ready(port: u16) {
    let url = format!("http://127.0.0.1:{port}");
    tokio::spawn(async move {
        let store = Store::new(&ClickHouseConfig { url: url.clone(), ..Default::default() });
        if store.wait_until_ready().await.is_ok() {
            anstream::println!(
                "ClickHouse is ready at {url} (user default, no password). End it with Ctrl-C."
            );
        }
    });
}
