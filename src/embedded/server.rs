//! Runs ClickHouse inside the child process until a signal or the parent stops it.

use std::ffi::CString;
use std::fs::{self, File, TryLockError};
use std::io::{self, PipeReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::credentials::Credentials;
use super::{EmbeddedError, library};

/// The options of `keywatch clickhouse`.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    pub path: PathBuf,
    pub port: u16,
    /// Stop when standard input ends. The parent ends its child this way.
    pub until_stdin_closes: bool,
}

/// ClickHouse expects a stack as large as that of a main thread.
const STACK_BYTES: usize = 16 << 20;

/// Time limit for closing tables. A later end loses nothing: acknowledged data is on disk.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// Serves ClickHouse over HTTP on loopback until SIGTERM, SIGINT or, if the options say so, the end
/// of standard input. `on_start` is called once the engine runs; it accepts connections soon after.
///
/// # Errors
/// [`EmbeddedError`] if it cannot start, or ends without a request to stop.
pub async fn serve(options: &ServeOptions, on_start: impl FnOnce()) -> Result<(), EmbeddedError> {
    let library = library::find()?;
    let path = prepare_directory(&options.path)?;
    check_port(options.port)?;

    let (lifeline, hold) = io::pipe().map_err(EmbeddedError::Spawn)?;
    let credentials = Credentials::prepare(&path)
        .map_err(|reason| EmbeddedError::Directory { path: path.clone(), reason })?;
    let arguments = arguments(&path, &credentials, options.port, &lifeline);
    let mut ended = run_in_thread(library, arguments)?;
    on_start();
    tokio::select! {
        outcome = &mut ended => return unasked_end(outcome),
        reason = stop_asked(options.until_stdin_closes) => reason.map_err(EmbeddedError::Spawn)?,
    }
    // The query that keeps ClickHouse running reads this pipe and ends when the pipe closes.
    drop(hold);
    let _ = tokio::time::timeout(CLOSE_WITHIN, ended).await;
    drop(lifeline);
    Ok(())
}

type Outcome = Result<Result<(), EmbeddedError>, oneshot::error::RecvError>;

fn unasked_end(outcome: Outcome) -> Result<(), EmbeddedError> {
    match outcome {
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) | Err(_) => Err(EmbeddedError::Ended { output: "its message is above".into() }),
    }
}

/// Runs ClickHouse in its own thread. The receiver gets the outcome when it ends.
fn run_in_thread(
    library: PathBuf,
    arguments: Vec<CString>,
) -> Result<oneshot::Receiver<Result<(), EmbeddedError>>, EmbeddedError> {
    let (tell, ended) = oneshot::channel();
    thread::Builder::new()
        .name("clickhouse".into())
        .stack_size(STACK_BYTES)
        .spawn(move || tell.send(library::run(&library, arguments)))
        .map_err(EmbeddedError::Spawn)?;
    Ok(ended)
}

/// Arguments of `clickhouse local`. The last query reads the lifeline. It returns when the other
/// end of the pipe is closed, and ClickHouse then closes its tables.
fn arguments(
    path: &Path,
    credentials: &Credentials,
    port: u16,
    lifeline: &PipeReader,
) -> Vec<CString> {
    let pipe = format!("/proc/self/fd/{}", lifeline.as_raw_fd());
    let query = format!(
        "SYSTEM START LISTEN HTTP; \
         SELECT count() FROM file('{pipe}', 'LineAsString', 'line String') FORMAT Null"
    );
    let arguments = [
        "clickhouse".into(),
        // Without it, the engine would read a config.xml of the working directory.
        format!("--config-file={}", credentials.config_file.display()),
        format!("--path={}", path.display()),
        format!("--http_port={port}"),
        format!("--listen_host={}", Ipv4Addr::LOCALHOST),
        format!("--query={query}"),
    ];
    // No argument holds a NUL byte: a path cannot, and the other arguments are constant.
    arguments.into_iter().filter_map(|argument| CString::new(argument).ok()).collect()
}

/// Creates the directory and checks that no ClickHouse holds its lock file.
pub(super) fn prepare_directory(path: &Path) -> Result<PathBuf, EmbeddedError> {
    let unusable = |reason| EmbeddedError::Directory { path: path.to_owned(), reason };
    fs::create_dir_all(path).map_err(unusable)?;
    let path = path.canonicalize().map_err(unusable)?;
    // ClickHouse holds a lock on `status` while it runs.
    match File::open(path.join("status")).map(|status| status.try_lock()) {
        Ok(Err(TryLockError::WouldBlock)) => Err(EmbeddedError::DirectoryInUse { path }),
        Ok(_) | Err(_) => Ok(path),
    }
}

pub(super) fn check_port(port: u16) -> Result<(), EmbeddedError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .map(drop)
        .map_err(|_| EmbeddedError::PortTaken { port })
}

async fn stop_asked(until_stdin_closes: bool) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        outcome = tokio::signal::ctrl_c() => outcome,
        _ = terminate.recv() => Ok(()),
        () = stdin_closed(), if until_stdin_closes => Ok(()),
    }
}

async fn stdin_closed() {
    let mut stdin = tokio::io::stdin();
    let mut buffer = [0; 64];
    while matches!(stdin.read(&mut buffer).await, Ok(1..)) {}
}
