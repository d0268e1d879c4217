//! Tests how the embedded server starts, stops and refuses to start.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use keywatch::embedded::{Embedded, EmbeddedError};
use keywatch::event::EventTime;
use keywatch::store::Store;
use rustix::process::{Pid, Signal, kill_process};

use super::samples::{batch, partition, varied_events};
use crate::support::clickhouse::{keywatch_binary, lines, start};

fn signal(process_id: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(process_id).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[tokio::test]
async fn data_survives_a_kill_and_a_repeated_batch_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let events = varied_events(5_000, 0, EventTime::now().plus_seconds(-9_000.0), 1.0);
    let partition = partition(0);
    let counts = "SELECT (SELECT count() FROM access_events), \
                  (SELECT sum(requests) FROM key_usage_minute), \
                  (SELECT sum(requests) FROM key_usage_hour)";

    for _start in 0..3 {
        let server = start(directory.path(), None).await;
        let store = Store::new(&server.config());
        store.migrate().await.unwrap();
        store.write_batch(&batch(&partition, &events)).await.unwrap();
        assert_eq!(lines(&store, counts).await, ["5000 5000 5000"]);
        // Dropping the handle sends SIGKILL.
        drop(server);
    }
}

#[tokio::test]
async fn a_directory_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _server = start(directory.path(), None).await;
    let error = Embedded::start_with(keywatch_binary(), directory.path(), None).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::DirectoryInUse { .. }), "{error}");
}

#[tokio::test]
async fn a_port_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let error =
        Embedded::start_with(keywatch_binary(), directory.path(), Some(port)).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::PortTaken { port: taken } if taken == port));
}

#[test]
fn a_missing_library_names_the_command_that_fetches_it() {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(keywatch_binary())
        .args(["clickhouse", "--path"])
        .arg(directory.path())
        .env("KEYWATCH_LIBCHDB", directory.path().join("libchdb.so"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("make setup"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[tokio::test]
async fn the_command_says_where_it_listens_and_ends_cleanly_on_a_signal() {
    use std::io::{BufRead, BufReader};

    for ending in [Signal::TERM, Signal::INT] {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new(keywatch_binary())
            .args(["clickhouse", "--port", &port.to_string(), "--path"])
            .arg(directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains(&format!("http://127.0.0.1:{port}")), "{line}");
        signal(child.id(), ending);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{ending:?}");
    }
}

/// The parent here is `cat` on the child's standard input. It is killed, so it cannot clean up.
#[tokio::test]
async fn the_server_ends_when_its_parent_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mut parent =
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut server = Command::new(keywatch_binary())
        .args(["clickhouse", "--until-stdin-closes", "--port", "0", "--path"])
        .arg(directory.path())
        .stdin(parent.stdout.take().unwrap())
        .spawn()
        .unwrap();
    signal(parent.id(), Signal::KILL);
    parent.wait().unwrap();
    assert_eq!(server.wait().unwrap().code(), Some(0));
}
