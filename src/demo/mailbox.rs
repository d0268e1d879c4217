//! Starts a real SMTP server with a mailbox on disk: `tools/node/mailbox.mjs` under Node.js.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::config::EmailConfig;

/// The script is compiled into the binary, so that the demo runs from any directory.
const SCRIPT: &str = include_str!("../../tools/node/mailbox.mjs");

pub(super) struct Mailbox {
    /// Killed when dropped. The mailbox also ends when its standard input closes, that is, with
    /// this process.
    _process: Child,
    mails: PathBuf,
    port: u16,
}

/// Why the mailbox could not start. The demo goes on without one.
#[derive(Debug, thiserror::Error)]
pub(super) enum MailboxError {
    #[error("Node.js is not installed (apt-get install nodejs npm, then `make setup`)")]
    NodeMissing,
    #[error("{0}; run `make setup`")]
    Ended(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(serde::Deserialize)]
struct Ready {
    smtp: u16,
}

impl Mailbox {
    /// Starts the mailbox on a free port of loopback, with its mails below `directory`.
    pub(super) async fn start(directory: &Path) -> Result<Self, MailboxError> {
        let script = directory.join("mailbox.mjs");
        std::fs::write(&script, SCRIPT)?;
        let mails = directory.join("mails");
        let mut process = Command::new("node")
            .arg(&script)
            .arg("--with-parent")
            .arg("--dir")
            .arg(&mails)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // Ctrl-C on the terminal must reach only the demo, which still has mails to send.
            .process_group(0)
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => MailboxError::NodeMissing,
                _ => MailboxError::Io(error),
            })?;
        let port = wait_until_ready(&mut process).await?;
        Ok(Self { _process: process, mails, port })
    }

    pub(super) fn config(&self) -> EmailConfig {
        EmailConfig::local(self.port, &["security@example.com"])
    }

    /// Mails received so far.
    pub(super) fn count(&self) -> usize {
        let Ok(entries) = std::fs::read_dir(&self.mails) else { return 0 };
        let whole = |name: &str| name.ends_with(".eml");
        entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(whole)).count()
    }
}

/// Reads the port from the line that the mailbox prints when it is ready.
async fn wait_until_ready(process: &mut Child) -> Result<u16, MailboxError> {
    let mut line = String::new();
    if let Some(output) = process.stdout.take() {
        BufReader::new(output).read_line(&mut line).await?;
    }
    if let Ok(Ready { smtp }) = serde_json::from_str(&line) {
        return Ok(smtp);
    }
    let mut output = String::new();
    if let Some(mut errors) = process.stderr.take() {
        errors.read_to_string(&mut output).await?;
    }
    Err(MailboxError::Ended(output.lines().last().unwrap_or("the mailbox ended").to_owned()))
}
