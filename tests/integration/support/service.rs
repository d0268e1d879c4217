//! `keywatch run` as a process of its own.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use keywatch::config::ClickHouseConfig;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::clickhouse::keywatch_binary;

const DEADLINE: Duration = Duration::from_secs(180);
pub const PEPPER: &str = "a pepper for the tests alone";
pub const SHUTDOWN_SECONDS: u64 = 10;

/// Of the log of a service whose test fails.
const LAST_LINES: usize = 60;

/// A running service. Dropping it is SIGKILL.
pub struct Service {
    process: Child,
    directory: TempDir,
    /// Of `/metrics` and health.
    pub address: String,
}

/// The settings that every service of a test has, before those of the test.
pub fn settings(clickhouse: &ClickHouseConfig) -> String {
    let ClickHouseConfig { url, database, .. } = clickhouse;
    format!(
        "[service]\nlisten = \"127.0.0.1:0\"\nshutdown_seconds = {SHUTDOWN_SECONDS}\n\
         [log]\nformat = \"json\"\nfilter = \"debug\"\n\
         [decode]\npepper = \"{PEPPER}\"\n\
         [clickhouse]\nurl = \"{url}\"\ndatabase = \"{database}\"\n"
    )
}

/// A service that is expected to end by itself, with what it said.
pub fn run(settings: &str, stdin: Stdio) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let child = command(directory.path(), settings).stdin(stdin).stderr(Stdio::piped()).spawn();
    child.unwrap().wait_with_output().unwrap()
}

/// Settings of a service that reads files and ends.
pub fn file_settings(paths: &[&Path]) -> String {
    format!("[source]\nkind = \"file\"\nbatch_records = 500\n[source.file]\npaths = {paths:?}\n")
}

/// The last line on standard error: what a person reads when it fails.
pub fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().last().unwrap_or_default().to_owned()
}

fn command(directory: &Path, settings: &str) -> Command {
    let path = directory.join("keywatch.toml");
    fs::write(&path, settings).unwrap();
    let mut command = Command::new(keywatch_binary());
    command.arg("run").arg("-c").arg(path).env_remove("NO_COLOR");
    command
}

impl Service {
    /// Returns when the service answers, whatever it may be waiting for.
    pub fn start(settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let process = command(directory.path(), settings)
            .stdin(Stdio::null())
            .stderr(File::create(log_file(directory.path())).unwrap())
            .spawn()
            .unwrap();
        let mut service = Self { process, directory, address: String::new() };
        service.address = service.logged_address("answering /metrics, /healthz and /readyz");
        service
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap()
    }

    /// The field `address` of the log line with this message.
    pub fn logged_address(&self, message: &str) -> String {
        let line = self.wait_for_log(&format!("\"message\":\"{message}\""));
        let line: Value = serde_json::from_str(&line).unwrap();
        line["address"].as_str().unwrap().to_owned()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(log_file(self.directory.path())).unwrap()
    }

    /// The first whole line of the log that holds `text`.
    pub fn wait_for_log(&self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let log = self.log();
            let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
            if let Some(line) = whole.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(Instant::now() < deadline, "{text} is not in the log:\n{log}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        request(&self.address, &format!("GET {path} HTTP/1.0\r\n\r\n"))
    }

    pub fn is_ready(&self) -> bool {
        self.get("/readyz").0 == 200
    }

    /// Waits until `/readyz` names what is waited for; meanwhile the process counts as alive.
    pub async fn wait_until_it_waits_for(&self, part: &str) {
        eventually(&format!("waits for {part}"), async || {
            let (status, body) = self.get("/readyz");
            status == 503 && body.contains(&format!("\"{part}\""))
        })
        .await;
        assert_eq!(self.get("/healthz").0, 200);
    }

    /// The sum of a metric over its labels.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").1;
        let is_of = |line: &&str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
        };
        let values = text.lines().filter(is_of).map(|line| line.rsplit(' ').next().unwrap());
        values.map(|value| value.parse::<f64>().unwrap()).sum()
    }

    /// Waits until it ends by itself, as it does at the end of a file.
    pub fn wait(mut self) -> (ExitStatus, String) {
        self.wait_for_end(DEADLINE)
    }

    /// SIGTERM; panics when it does not end within its bound (and a little for slow machines).
    pub fn terminate(mut self) -> (ExitStatus, String) {
        kill_process(self.pid(), Signal::TERM).unwrap();
        self.wait_for_end(Duration::from_secs(SHUTDOWN_SECONDS + 20))
    }

    fn wait_for_end(&mut self, within: Duration) -> (ExitStatus, String) {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return (status, self.log());
            }
            assert!(Instant::now() < deadline, "does not end:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGKILL.
    pub fn kill(mut self) -> String {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.log()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().filter(|line| !line.contains("\"DEBUG\"")).collect();
            let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
            eprintln!("the service said last:\n{}", last.join("\n"));
        }
    }
}

fn log_file(directory: &Path) -> PathBuf {
    directory.join("service.log")
}

/// Sends a whole HTTP/1.0 request; gives status and body.
pub fn request(address: &str, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// Asks again and again until `condition` holds.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
