//! Opens the console in Chromium: `make browser`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use keywatch::alert::{Action, Alert};
use keywatch::event::EventTime;

use crate::clickhouse::samples::{alert, batch, partition, varied_events};
use crate::console::access::{PASSWORD, users};
use crate::console::{fixture, store_alerts};
use crate::support::clickhouse::database;
use crate::support::console::Console;

/// The script says when its page is open, and is told when the alert is stored.
#[tokio::test]
#[ignore = "needs Chromium: make browser"]
async fn people_can_read_filter_and_follow_the_console() {
    let database = database().await;
    let now = EventTime::now();
    let events = varied_events(2_000, 0, now.plus_seconds(-3_000.0), 1.5);
    database.store.write_batch(&batch(&partition(0), &events)).await.unwrap();
    let mut hostile = fixture("hostile");
    hostile.detected_at = now;
    let travel = fixture("impossible_travel");
    let proposal = alert("inc_asks", 1, "key-asks", now.plus_seconds(-7_200.0));
    let asks = Alert { action: Action::Revoke, dry_run: false, ..proposal };
    let alerts: Vec<_> = (0..70)
        .map(|n| {
            alert(
                &format!("inc_{n}"),
                1,
                &format!("key-{n}"),
                now.plus_seconds(-60.0 * f64::from(n)),
            )
        })
        .chain([hostile, travel, asks])
        .collect();
    store_alerts(&database.store, 5_000, &alerts).await;
    let console = Console::start(&database.config);

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/browser/console.mjs");
    let mut browser = Command::new("node")
        .arg(script)
        .arg(format!("http://{}", console.address))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node starts");
    let mut lines = BufReader::new(browser.stdout.take().unwrap()).lines();
    let said = lines.find(|line| line.as_ref().is_ok_and(|line| line == "waiting for an alert"));
    assert!(said.is_some(), "the script ended before its last step");
    store_alerts(&database.store, 5_001, &[alert("inc_new", 1, "key-new", EventTime::now())]).await;
    let mut stdin = browser.stdin.take().unwrap();
    writeln!(stdin, "stored").unwrap();
    let said = lines.find(|line| line.as_ref().is_ok_and(|line| line == "waiting for accounts"));
    assert!(said.is_some(), "the script ended before its people log in");
    for (name, role) in [("alice", "responder"), ("bob", "responder")] {
        users(&database, &["add", name, "--role", role]).unwrap();
    }
    writeln!(stdin, "{PASSWORD}").unwrap();
    for line in lines {
        eprintln!("{}", line.unwrap());
    }
    assert!(browser.wait().unwrap().success());
    let acts = "SELECT who, kind, reason, text FROM incident_acts ORDER BY time";
    let acts = crate::support::clickhouse::lines(&database.store, acts).await;
    let expected = [
        "alice acknowledge  asking the owner",
        "bob dismiss test our own scanner",
        "alice comment  she is on a flight",
        "alice approve  ",
    ];
    assert_eq!(acts, expected);
}
