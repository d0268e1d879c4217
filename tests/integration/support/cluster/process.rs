//! Processes of the cluster: they end with this process, whatever ends it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// Runs a command until standard input ends, and kills it then. A command that ends by itself is
/// started again, as on a server: this engine aborts when a connection is reset in its first bytes.
const KEEPER: &str = r#"
{
    trap 'kill -KILL "$child"; wait "$child"; exit' TERM
    while :; do
        setpriv --pdeathsig KILL "$@" &
        child=$!
        wait "$child"
        echo "ended by itself: $?"
    done
} &
loop=$!
cat >/dev/null
kill -TERM "$loop"
wait "$loop" 2>/dev/null
"#;

/// A process that is killed when this is dropped.
pub struct Kept {
    keeper: Child,
    lifeline: Option<ChildStdin>,
}

impl Kept {
    /// Starts the command; what it says goes to `log`.
    pub fn start(program: &Path, arguments: &[String], log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let lifeline = keeper.stdin.take();
        Self { keeper, lifeline }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        let _ = self.keeper.wait();
    }
}

pub fn tool(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(path)
}
