//! Starts ClickHouse as a child process that lives as long as its handle.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, io};

use super::credentials::{Credentials, USER};
use super::server::{check_port, prepare_directory};
use super::{EmbeddedError, library};
use crate::config::ClickHouseConfig;
use crate::store::Store;

/// A running embedded ClickHouse. Dropping it ends the process; the data stays.
#[derive(Debug)]
pub struct Embedded {
    /// The child ends when its standard input closes. The parent never writes to it and only keeps
    /// it open.
    child: Child,
    port: u16,
    credentials: Credentials,
}

/// A start takes about a second, and much longer on a loaded machine with a cold disk.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// One port may be lost to another process; three in a row are another fault.
const FREE_PORTS_TRIED: u32 = 3;

impl Embedded {
    /// Starts ClickHouse with its data in `path`, on `port` of loopback or a free one, and waits
    /// until it answers. The child runs the current executable.
    ///
    /// # Errors
    /// [`EmbeddedError`], which names the remedy.
    pub async fn start(path: &Path, port: Option<u16>) -> Result<Self, EmbeddedError> {
        let program = env::current_exe().map_err(EmbeddedError::Spawn)?;
        Self::start_with(&program, path, port).await
    }

    /// Like [`Self::start`], with the path of the `keywatch` binary to run.
    ///
    /// # Errors
    /// [`EmbeddedError`], which names the remedy.
    pub async fn start_with(
        program: &Path,
        path: &Path,
        port: Option<u16>,
    ) -> Result<Self, EmbeddedError> {
        // The child checks this too, but an error found here keeps its type.
        library::find()?;
        let path = prepare_directory(path)?;
        if let Some(port) = port {
            check_port(port)?;
            return Self::start_on(program, &path, port).await;
        }
        // Another process may take a free port before ClickHouse listens on it.
        for _ in 1..FREE_PORTS_TRIED {
            match Self::start_on(program, &path, free_port()?).await {
                Err(EmbeddedError::Ended { .. }) => {}
                outcome => return outcome,
            }
        }
        Self::start_on(program, &path, free_port()?).await
    }

    async fn start_on(program: &Path, path: &Path, port: u16) -> Result<Self, EmbeddedError> {
        // The child reads the same password.
        let credentials = Credentials::prepare(path)
            .map_err(|reason| EmbeddedError::Directory { path: path.to_owned(), reason })?;
        let log = path.join("server.log");
        let child = spawn(program, path, port, &log).map_err(EmbeddedError::Spawn)?;
        let mut embedded = Self { child, port, credentials };
        embedded.wait_until_ready(path, &log).await?;
        Ok(embedded)
    }

    /// The configuration with which a client connects to it.
    pub fn config(&self) -> ClickHouseConfig {
        ClickHouseConfig {
            url: format!("http://{}:{}", Ipv4Addr::LOCALHOST, self.port),
            user: USER.into(),
            password: self.credentials.password.clone(),
            ..ClickHouseConfig::default()
        }
    }

    /// The file with the password of the client.
    pub fn password_file(&self) -> &Path {
        &self.credentials.password_file
    }

    /// The process id of the child.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    async fn wait_until_ready(&mut self, path: &Path, log: &Path) -> Result<(), EmbeddedError> {
        let store = Store::new(&self.config());
        let begin = Instant::now();
        while begin.elapsed() < READY_WITHIN {
            if self.child.try_wait().map_err(EmbeddedError::Spawn)?.is_some() {
                return Err(EmbeddedError::Ended { output: last_lines(log) });
            }
            if serves(&store, path).await {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let seconds = READY_WITHIN.as_secs();
        Err(EmbeddedError::NotReady { port: self.port, seconds, log: log.to_owned() })
    }
}

impl Drop for Embedded {
    /// Kills and reaps the child. Acknowledged data is on disk already.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(program: &Path, path: &Path, port: u16, log: &Path) -> io::Result<Child> {
    let output = File::create(log)?;
    Command::new(program)
        .arg("clickhouse")
        .arg("--path")
        .arg(path)
        .args(["--port", &port.to_string(), "--until-stdin-closes"])
        .stdin(Stdio::piped())
        .stdout(output.try_clone()?)
        .stderr(output)
        // Ctrl-C on the terminal must reach only the parent, which may still have rows to write.
        .process_group(0)
        .spawn()
}

/// Whether the server at `store` has its data in `path`, and is not another server on the same
/// port.
async fn serves(store: &Store, path: &Path) -> bool {
    let sql = "SELECT value FROM system.server_settings WHERE name = 'path'";
    store.ask_server(sql).await.is_ok_and(|served| Path::new(&served) == path)
}

fn free_port() -> Result<u16, EmbeddedError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(EmbeddedError::Spawn)
}

fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}
