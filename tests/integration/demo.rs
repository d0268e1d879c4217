//! Tests `keywatch demo` as a user runs it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::clickhouse::keywatch_binary;
use crate::support::eventually::eventually_blocking;
use crate::support::service;

/// A running demo with its own temporary directory.
struct Demo {
    process: Child,
    temporary: TempDir,
    begun: Instant,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let process = Command::new(keywatch_binary())
            .arg("demo")
            .args(arguments)
            .env("TMPDIR", temporary.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self { process, temporary, begun: Instant::now() }
    }

    /// Lines of its output as they arrive, with the time since the start.
    fn lines(&mut self) -> impl Iterator<Item = (Duration, String)> + use<> {
        let begun = self.begun;
        let output = BufReader::new(self.process.stdout.take().unwrap());
        output.lines().map(move |line| (begun.elapsed(), line.unwrap()))
    }

    fn interrupt(&self) {
        kill_process(Pid::from_child(&self.process), Signal::INT).unwrap();
    }

    /// Waits for its end and checks that no process or file of it is left.
    fn end(mut self) -> Option<i32> {
        let code = self.process.wait().unwrap().code();
        let left: Vec<_> = std::fs::read_dir(self.temporary.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        wait_until_unused(self.temporary.path());
        code
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// ClickHouse and the mailbox are the processes whose command line holds the directory.
fn wait_until_unused(directory: &Path) {
    let name = directory.to_str().unwrap();
    eventually_blocking("no process is left", Duration::from_secs(10), || {
        let users: Vec<String> = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| std::fs::read(entry.unwrap().path().join("cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .filter(|line| line.contains(name))
            .collect();
        if users.is_empty() { Ok(()) } else { Err(users) }
    });
}

fn is_alert(line: &str) -> bool {
    ["LOW", "MEDIUM", "HIGH", "CRITICAL"]
        .iter()
        .any(|severity| line.trim_start().starts_with('+') && line.contains(severity))
}

/// The first number in the line that begins with `name`.
fn figure(output: &[String], name: &str) -> u64 {
    let line = output.iter().find(|line| line.trim_start().starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {output:#?}"));
    let digits =
        line.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    digits.unwrap().replace(',', "").parse().unwrap()
}

#[test]
fn alerts_open_are_delivered_and_can_be_asked_about() {
    let mut demo = Demo::start(&["--seconds", "15", "--rate", "100"]);
    let mut output = Vec::new();
    let mut first_alert = None;
    for (elapsed, line) in demo.lines() {
        if first_alert.is_none() && is_alert(&line) {
            first_alert = Some(elapsed);
        }
        output.push(line);
    }
    assert_eq!(demo.end(), Some(0), "{output:#?}");
    // The demo promises this time; the limit leaves room for a machine that runs all other tests
    // too.
    assert!(first_alert.unwrap() < Duration::from_secs(60), "{first_alert:?}");
    assert!(!output.iter().any(|line| line.contains('\u{1b}')), "colour without a terminal");
    assert!(figure(&output, "e-mails") > 0);
    assert!(figure(&output, "webhooks") > 0);
    let webhooks = output.iter().find(|line| line.trim_start().starts_with("webhooks")).unwrap();
    let counts: Vec<u64> = webhooks.split_whitespace().filter_map(|w| w.parse().ok()).collect();
    assert_eq!(counts[0], counts[1], "every webhook has a valid signature: {webhooks}");
    for query in ["open_alerts", "top_keys", "shared_addresses"] {
        let name = format!("sql/queries/{query}.sql");
        let at = output.iter().position(|line| line.contains(&name)).unwrap();
        assert!(output[at + 1].contains('┌'), "{query} has an answer: {output:#?}");
    }
}

#[test]
fn ctrl_c_ends_it_with_the_summary_and_without_a_trace() {
    let mut demo = Demo::start(&["--seconds", "600", "--rate", "50"]);
    let mut lines = demo.lines();
    assert!(lines.any(|(_, line)| is_alert(&line)));
    demo.interrupt();
    assert!(lines.any(|(_, line)| line.starts_with("Attacks: ")));
    assert!(lines.any(|(_, line)| line.contains("shared_addresses.sql")));
    lines.for_each(drop);
    assert_eq!(demo.end(), Some(0));
}

#[test]
fn the_console_stays_after_the_summary_until_it_is_told_to_end() {
    let mut demo = Demo::start(&["--seconds", "5", "--rate", "50", "--stay"]);
    let mut lines = demo.lines();
    assert!(lines.any(|(_, line)| line.starts_with("Attacks: ")));
    let staying = lines.find(|(_, line)| line.contains("The console stays at")).unwrap().1;
    let address = staying.split("http://").nth(1).unwrap().split('/').next().unwrap();
    let request = format!("GET /incidents HTTP/1.0\r\nHost: {address}\r\n\r\n");
    let (status, page) = service::request(address, &request);
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("/incidents/inc_"), "{page}");
    demo.interrupt();
    lines.for_each(drop);
    assert_eq!(demo.end(), Some(0));
}

#[test]
fn ctrl_c_before_anything_runs_leaves_nothing_either() {
    let mut demo = Demo::start(&[]);
    let mut lines = demo.lines();
    assert!(lines.any(|(_, line)| line.starts_with("Starting")));
    demo.interrupt();
    lines.for_each(drop);
    assert_eq!(demo.end(), Some(0));
}

#[test]
fn a_taken_port_is_named_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let command = assert_cmd::Command::new(keywatch_binary())
        .args(["demo", "--port", &port])
        .assert()
        .code(2);
    let message = String::from_utf8_lossy(&command.get_output().stderr).into_owned();
    assert!(message.contains(&format!("--port {port}: ")), "{message}");
}
