//! Runs the real ClickHouse engine on this machine, from `libchdb.so`, in a child process.
//!
//! The child is this program again (`keywatch clickhouse`). It listens on loopback only. It ends
//! when its standard input closes; the kernel closes it when the parent ends, even after a crash.
//! (A parent-death signal would follow the thread that started the child, not the process.)

mod child;
mod credentials;
mod library;
mod server;

use std::io;
use std::path::PathBuf;

pub use self::child::Embedded;
pub use self::credentials::{Credentials, USER};
pub use self::server::{ServeOptions, serve};

/// Why embedded ClickHouse is not available.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error(
        "{path}: the ClickHouse library is not installed. Run `make setup`, or set KEYWATCH_LIBCHDB to a libchdb.so of version 26.7 or later"
    )]
    LibraryMissing { path: PathBuf },
    #[error("{path}: this is not a usable ClickHouse library. Run `make setup` again")]
    LibraryUnusable { path: PathBuf, source: libloading::Error },
    #[error(
        "cannot look for libchdb.so: set KEYWATCH_LIBCHDB to its path, or HOME to search the cache"
    )]
    NoCacheDirectory,
    #[error("{path}: cannot be used as a data directory: {reason}")]
    Directory { path: PathBuf, reason: io::Error },
    #[error("{path}: another ClickHouse is using this data directory. Stop it or choose another")]
    DirectoryInUse { path: PathBuf },
    #[error("port {port} of 127.0.0.1 is taken. Stop what listens there or choose another port")]
    PortTaken { port: u16 },
    #[error("cannot start the ClickHouse process: {0}")]
    Spawn(#[source] io::Error),
    #[error("ClickHouse ended while starting:\n{output}")]
    Ended { output: String },
    #[error("ClickHouse on port {port} was not ready within {seconds} s. Its output is in {log}")]
    NotReady { port: u16, seconds: u64, log: PathBuf },
}
