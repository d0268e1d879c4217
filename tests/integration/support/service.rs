//! Runs `keywatch run` as a separate process.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::Duration;

use keywatch::config::{ClickHouseConfig, Config};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::clickhouse::keywatch_binary;
use super::eventually::{LIMIT, eventually, eventually_blocking};
use super::names::Names;
use super::settings::{SHUTDOWN_SECONDS, Settings};

/// Lines of the log that a failing test prints.
const LAST_LINES: usize = 60;

/// A running service. Dropping it sends SIGKILL.
pub struct Service {
    process: Child,
    directory: TempDir,
    /// The address of `/metrics` and of the health endpoints.
    pub address: String,
}

/// Runs a service that is expected to end by itself, and returns its output.
pub fn run(settings: &Settings, stdin: Stdio) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let child = command(directory.path(), settings).stdin(stdin).stderr(Stdio::piped()).spawn();
    child.unwrap().wait_with_output().unwrap()
}

/// The last line on standard error, which tells the user why the service failed.
pub fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().last().unwrap_or_default().to_owned()
}

fn command(directory: &Path, settings: &Settings) -> Command {
    let path = config_file(directory);
    fs::write(&path, settings.to_string()).unwrap();
    let mut command = Command::new(keywatch_binary());
    command.arg("run").arg("-c").arg(path).env_remove("NO_COLOR");
    command
}

impl Service {
    /// Starts the service and returns when its endpoints respond, whatever else it waits for.
    pub fn start(settings: &Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let command = command(directory.path(), settings);
        Self::start_with(directory, command)
    }

    /// Starts the service of another release.
    pub fn start_program(program: &Path, settings: &Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let service = command(directory.path(), settings);
        let mut other = Command::new(program);
        other.args(service.get_args());
        Self::start_with(directory, other)
    }

    /// Starts the service with so much address space, in KiB. An allocation beyond it aborts.
    pub fn start_within(settings: &Settings, address_space_kib: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let service = command(directory.path(), settings);
        let mut limited = Command::new("sh");
        limited.arg("-c").arg(format!("ulimit -v {address_space_kib}; exec \"$@\""));
        limited.arg("sh").arg(service.get_program()).args(service.get_args());
        Self::start_with(directory, limited)
    }

    /// Starts the service where only `names` are known.
    pub fn start_among(settings: &Settings, names: &Names) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let command = names.only(&command(directory.path(), settings));
        Self::start_with(directory, command)
    }

    /// Starts the service with these environment variables.
    pub fn start_with_variables(settings: &Settings, variables: &[(&str, String)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = command(directory.path(), settings);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        Self::start_with(directory, command)
    }

    fn start_with(directory: TempDir, mut command: Command) -> Self {
        let config =
            Config::load(Some(&config_file(directory.path())), std::iter::empty(), |_| Vec::new());
        config.unwrap_or_else(|error| panic!("{error}"));
        let process = command
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
        // A failing test prints the log itself.
        eventually_blocking(&format!("{text} is in the log"), LIMIT, || {
            let log = self.log();
            let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
            whole.lines().find(|line| line.contains(text)).map(str::to_owned)
        })
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        request(&self.address, &format!("GET {path} HTTP/1.0\r\n\r\n"))
    }

    pub fn is_ready(&self) -> bool {
        self.get("/readyz").0 == 200
    }

    /// Waits until `/readyz` names `part` as waited for; the process must count as alive meanwhile.
    pub async fn wait_until_it_waits_for(&self, part: &str) {
        eventually(&format!("waits for {part}"), LIMIT, async || {
            let (status, body) = self.get("/readyz");
            status == 503 && body.contains(&format!("\"{part}\""))
        })
        .await;
        assert_eq!(self.get("/healthz").0, 200);
    }

    /// The sum of a metric over its labels.
    pub fn metric(&self, name: &str) -> f64 {
        metric_in(&self.get("/metrics").1, name)
    }

    /// Waits until the service ends by itself, as it does at the end of a file.
    pub fn wait(mut self) -> (ExitStatus, String) {
        self.wait_for_end(LIMIT)
    }

    /// Sends SIGTERM; panics if the service does not end within its limit (and a little more for
    /// slow machines).
    pub fn terminate(mut self) -> (ExitStatus, String) {
        kill_process(self.pid(), Signal::TERM).unwrap();
        self.wait_for_end(Duration::from_secs(u64::from(SHUTDOWN_SECONDS) + 20))
    }

    fn wait_for_end(&mut self, within: Duration) -> (ExitStatus, String) {
        let status =
            eventually_blocking("the service ends", within, || self.process.try_wait().unwrap());
        (status, self.log())
    }

    /// Sends SIGKILL.
    pub fn kill(mut self) -> String {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.log()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let ended = self.process.try_wait();
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().filter(|line| !line.contains("\"DEBUG\"")).collect();
            let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
            if let Ok(Some(status)) = ended {
                eprintln!("the service had ended by itself: {status}");
            }
            eprintln!("the service said last:\n{}", last.join("\n"));
        }
    }
}

fn config_file(directory: &Path) -> PathBuf {
    directory.join("keywatch.toml")
}

fn log_file(directory: &Path) -> PathBuf {
    directory.join("service.log")
}

/// Sends a whole HTTP/1.0 request; returns status and body.
pub fn request(address: &str, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// The sum of a metric over its labels, in the text of `/metrics`.
pub fn metric_in(text: &str, name: &str) -> f64 {
    let is_of = |line: &&str| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
    };
    let values = text.lines().filter(is_of).map(|line| line.rsplit(' ').next().unwrap());
    values.map(|value| value.parse::<f64>().unwrap()).sum()
}

#[test]
#[should_panic(expected = "unknown key `source.batch_recrods`; did you mean `batch_records`?")]
fn a_setting_that_does_not_exist_is_an_error() {
    let settings = Settings::new(&ClickHouseConfig::default());
    Service::start(&settings.set("source.batch_recrods", 250));
}
