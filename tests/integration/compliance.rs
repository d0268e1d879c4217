//! Tests `keywatch report --from` as a process, on rows with known figures.

use std::fs;
use std::process::Command;

use keywatch::alert::{Action, Alert, AlertType, DetectorId};
use keywatch::deliver::DeliveryLog;
use keywatch::deliver::record::{DeliveryOutcome, DeliveryRow};
use keywatch::event::EventTime;
use keywatch::workflow::Kind;
use serde_json::{Value, json};

use crate::clickhouse::acts::{act, store_alerts};
use crate::clickhouse::samples::alert;
use crate::keys_cli;
use crate::support::clickhouse::{
    TestDatabase, client, database, environment, keywatch_binary, lines,
};

const KEYS: &str = "key_id,environment,created_at\n\
    key-a,production,2020-01-01T00:00:00Z\n\
    key-b,production,2020-01-01T00:00:00Z\n\
    key-c,staging,2020-01-01T00:00:00Z\n";

/// Incident `a` ends with a revoked key, `b` is dismissed, and nobody has looked at `c`.
async fn with_a_history() -> TestDatabase {
    let database = database().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("keys.csv"), KEYS).unwrap();
    keys_cli::run(&database, folder.path(), &["import", "keys.csv"]).succeeded();
    let (store, now) = (&database.store, EventTime::now());
    let opened = now.plus_seconds(-7_200.0);
    let asks = Alert {
        action: Action::Revoke,
        dry_run: false,
        detectors: vec![DetectorId::DuplicateNonce],
        ..alert("a", 1, "key-a", opened)
    };
    let request = Alert { alert_type: AlertType::RevocationRequested, revision: 2, ..asks.clone() };
    let alerts =
        [asks.clone(), request, alert("b", 1, "key-b", opened), alert("c", 1, "key-c", opened)];
    store_alerts(store, 0, &alerts).await;
    let insert = "INSERT INTO revocation_requests (number, incident, revision, key_id, action) \
        VALUES (1, 'a', 2, 'key-a', 'revoke')";
    client(&database.config).query(insert).execute().await.unwrap();
    let sent = DeliveryRow {
        alert_id: "a".into(),
        revision: 2,
        channel: "webhook".into(),
        attempt: 1,
        outcome: DeliveryOutcome::Delivered,
        detail: "accepted by localhost, which answered: revoked".into(),
        time: now,
        webhook_id: "a-2".into(),
    };
    store.record_deliveries(&[sent]).await.unwrap();
    for (id, kind, seen) in [("1", Kind::Approve, &alerts[0]), ("2", Kind::Dismiss, &alerts[2])] {
        store.record_acts(&[act(&seen.id, id, kind, seen)]).await.unwrap();
    }
    keys_cli::run(&database, folder.path(), &["event", "key-a", "revoked"]).succeeded();
    database
}

#[tokio::test]
async fn the_report_counts_keys_incidents_times_and_actions_in_all_forms() {
    let database = with_a_history().await;
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(keywatch_binary())
        .args(["report", "--from", "1d", "--html", "r.html", "--csv", "r.csv", "--json"])
        .current_dir(folder.path())
        .envs(environment(&database.config))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let sections = &report["sections"];
    let production = json!({ "environment": "production", "issued": 0.0, "rotated": 0.0,
        "suspended": 0.0, "revoked": 1.0, "leaked": 0.0, "overdue": 1.0 });
    assert_eq!(sections["keys"][0], production, "{sections:#}");
    let incidents = sections["incidents"].as_array().unwrap();
    let of = |detector: &str| incidents.iter().find(|it| it["detector"] == detector).unwrap();
    let travel = of("geo.impossible_travel");
    assert_eq!((&travel["opened"], &travel["dismissed"]), (&json!(2.0), &json!(1.0)));
    assert_eq!(of("replay.duplicate_nonce")["open"], 1.0);
    let actions = &sections["actions"][0];
    assert_eq!(
        *actions,
        json!({ "action": "revoke", "proposed": 1.0, "only_in_dry_run": 0.0, "approved": 1.0,
            "rejected": 0.0, "requested": 1.0, "sent": 1.0, "confirmed_by_receiver": 1.0,
            "refused_by_receiver": 0.0, "withdrawn": 0.0 })
    );
    let times = sections["times"].as_array().unwrap();
    let step = |step: &str| times.iter().find(|it| it["step"] == step).unwrap();
    for name in ["acknowledge", "contain", "close"] {
        let (reached, median) = (&step(name)["reached"], step(name)["median_minutes"].as_f64());
        assert_eq!(*reached, 1.0, "{times:#?}");
        assert!((120.0..125.0).contains(&median.unwrap()), "{name}: {median:?}");
    }
    assert_eq!(sections["people"].as_array().unwrap().len(), 2);

    let csv = fs::read_to_string(folder.path().join("r.csv")).unwrap();
    assert!(csv.contains("\nkeys,production,revoked,1\n"), "{csv}");
    assert!(csv.contains("\ntimes,high contain,reached,1\n"), "{csv}");
    let page = fs::read_to_string(folder.path().join("r.html")).unwrap();
    for text in ["Keys overdue", "geo.impossible_travel", "confirmed by receiver"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    if let Ok(path) = std::env::var("KEYWATCH_SHOTS") {
        fs::write(format!("{path}/compliance.html"), &page).unwrap();
    }
}

#[tokio::test]
async fn an_empty_time_gives_an_empty_report() {
    let database = database().await;
    let run = |arguments: &[&str]| {
        let mut command = Command::new(keywatch_binary());
        command.arg("report").args(arguments).envs(environment(&database.config));
        command.output().unwrap()
    };
    let output = run(&["--from", "2020-01-01", "--to", "2020-02-01"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("2020-01-01T00:00:00Z to 2020-02-01T00:00:00Z\n"), "{text}");
    assert!(text.contains("Incidents\n  none\n"), "{text}");
    assert_eq!(run(&["--from", "1d", "--to", "2020-01-01"]).status.code(), Some(2));
    assert_eq!(run(&["--csv", "x.csv"]).status.code(), Some(2));
    assert_eq!(lines(&database.store, "SELECT count() FROM audit_log").await, ["0"]);
}
