//! `keywatch clickhouse` runs the embedded server in the foreground.

use std::path::PathBuf;

use super::CommandError;
use crate::config::ClickHouseConfig;
use crate::embedded::{Credentials, EmbeddedError, ServeOptions, USER, serve};
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
    let runtime = super::runtime()?;
    let outcome = runtime.block_on(serve(&options, || say_when_ready(&options)));
    // A read of standard input may never return.
    runtime.shutdown_background();
    outcome.map_err(|error| match error {
        EmbeddedError::PortTaken { .. } | EmbeddedError::DirectoryInUse { .. } => {
            CommandError::Usage(error.into())
        }
        other => CommandError::Failure(other.into()),
    })
}

fn say_when_ready(options: &ServeOptions) {
    let Ok(credentials) = Credentials::prepare(&options.path) else { return };
    let url = format!("http://127.0.0.1:{}", options.port);
    // The output of a child goes to a file, where the password has no place.
    let is_child = options.until_stdin_closes;
    tokio::spawn(async move {
        let Credentials { password, password_file, .. } = credentials;
        let store = Store::new(&ClickHouseConfig {
            url: url.clone(),
            user: USER.into(),
            password: password.clone(),
            ..Default::default()
        });
        if store.wait_until_ready().await.is_ok() {
            let shown = if is_child { "" } else { password.reveal() };
            anstream::println!(
                "ClickHouse is ready at {url}: user {USER}, password {shown} (in {}). End it with \
                 Ctrl-C. To ask it:\n  curl {url} -H 'X-ClickHouse-User: {USER}' -H \"X-ClickHouse-Key: \
                 $(cat {})\" -d 'SELECT 1'",
                password_file.display(),
                password_file.display()
            );
        }
    });
}
