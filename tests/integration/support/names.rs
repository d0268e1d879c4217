//! Decides which host names a process can resolve: its own `/etc/hosts`, and no name server.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// Lays the two files over the system's, for this process alone.
const LAY: &str = r#"
mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/resolv.conf || exit 1
shift 2
exec "$@"
"#;

/// A name server that nobody runs: each question to it is refused at once.
const NO_SERVER: &str = "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n";

/// The names of 127.0.0.1 for the processes that are started by [`Self::only`].
pub struct Names {
    directory: TempDir,
}

impl Names {
    pub fn new(names: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("resolv.conf"), NO_SERVER).unwrap();
        let created = Self { directory };
        created.set(names);
        created
    }

    /// Replaces the names, also for processes that run. The file stays the one that is laid.
    pub fn set(&self, names: &str) {
        let line = if names.is_empty() { String::new() } else { format!("127.0.0.1 {names}\n") };
        fs::write(self.hosts(), line).unwrap();
    }

    fn hosts(&self) -> PathBuf {
        self.directory.path().join("hosts")
    }

    /// The same command among these names. The process keeps its number.
    pub fn only(&self, command: &Command) -> Command {
        let mut laid = Command::new("unshare");
        laid.args(["--user", "--map-root-user", "--mount", "sh", "-c", LAY, "sh"]);
        laid.arg(self.hosts()).arg(self.directory.path().join("resolv.conf"));
        laid.arg(command.get_program()).args(command.get_args());
        laid
    }

    /// Whether this machine lets a process have files of its own.
    pub fn are_possible() -> bool {
        let tried = Self::new("").only(&Command::new("true")).output();
        tried.is_ok_and(|output| output.status.success())
    }
}
