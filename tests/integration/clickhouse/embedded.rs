//! Tests how the embedded server starts, stops and refuses to start.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use keywatch::embedded::{Embedded, EmbeddedError};
use keywatch::event::EventTime;
use keywatch::store::Store;
use rustix::process::{Pid, Signal, kill_process};

use super::samples::{batch, partition, varied_events};
use crate::support::clickhouse::{keywatch_binary, lines, start};
use crate::support::service::request;

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

/// A web page of another site can send a request to loopback, but neither the header nor the host.
#[tokio::test]
async fn only_the_user_with_the_password_is_answered_and_reaches_no_files_or_networks() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(directory.path(), None).await;
    let config = server.config();
    let address = config.url.trim_start_matches("http://").to_owned();
    let post = |headers: &[(&str, &str)], query: &str, sql: &str| {
        let headers: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = sql.len();
        let head = format!(
            "POST /?{query} HTTP/1.1\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n"
        );
        request(&address, &(head + sql))
    };
    let host = ("host", &*address);
    let (user, key) = ("x-clickhouse-user", "x-clickhouse-key");
    let password = config.password.reveal();
    let own = [host, (user, "keywatch"), (key, password)];
    assert_eq!(post(&own, "", "SELECT 1").0, 200);
    let foreign = [("host", "rebound.example"), own[1], own[2]];
    for refused in [&foreign[..], &own[..1], &[host, (user, "default")], &own[..2]] {
        assert_ne!(post(refused, "", "SELECT 1").0, 200, "{refused:?}");
    }
    for query in ["user=default", "user=default&password="] {
        assert_ne!(post(&own, query, "SELECT 1").0, 200, "{query}");
        assert_ne!(post(&own[..1], query, "SELECT 1").0, 200, "{query}");
        let basic = [host, ("authorization", "Basic ZGVmYXVsdDo=")];
        assert_ne!(post(&basic, query, "SELECT 1").0, 200, "{query}");
    }
    for sql in [
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM remote('127.0.0.1:1', system.one)",
        "SELECT * FROM s3('http://127.0.0.1:1/bucket/key', 'LineAsString')",
        "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
        "SELECT * FROM executable('sh', 'TSV', 'a String')",
        "INSERT INTO FUNCTION file('x.tsv', 'TSV', 'a Int32') VALUES (1)",
        "CREATE TABLE f (a Int32) ENGINE = File(TSV)",
        "CREATE TABLE u (a Int32) ENGINE = URL('http://127.0.0.1:1/')",
        "CREATE USER other",
        "BACKUP TABLE system.one TO File('/tmp/backup')",
    ] {
        let (status, answer) = post(&own, "", sql);
        assert_ne!(status, 200, "{sql}: {answer}");
        assert!(
            answer.contains("ACCESS_DENIED") || answer.contains("Executable"),
            "{sql}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_child_that_loses_its_free_port_is_started_on_another() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("loses_its_first_port");
    let lost = directory.path().join("lost");
    let binary = keywatch_binary();
    let script = format!(
        "#!/bin/sh\nmkdir '{}' 2>/dev/null && exit 1\nexec '{}' \"$@\"\n",
        lost.display(),
        binary.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o700)).unwrap();
    let data = directory.path().join("data");
    // It returns when the server answers.
    let _server = Embedded::start_with(&program, &data, None).await.unwrap();
    assert!(lost.is_dir());
}
