//! Tests `keywatch sigma` as a process: the queries run on stored requests.

use std::fs;
use std::process::{Command, Output};

use keywatch::event::{EnrichedEvent, EventTime};
use serde_json::Value;

use crate::clickhouse::samples::{batch, event, origin, partition};
use crate::support::clickhouse::{TestDatabase, database};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keywatch")).arg("sigma").args(arguments).output().unwrap()
}

/// Runs the command on a rule.
fn on(rule: &str, arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rule.yml");
    fs::write(&path, rule).unwrap();
    run(&[&[path.to_str().unwrap()], arguments].concat())
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The ids of the requests that the rule finds, without `request-`.
async fn found(database: &TestDatabase, rule: &str) -> Vec<u32> {
    let sql = succeeded(&on(rule, &["--days", "3"]));
    let table =
        database.store.query_table(&sql, &[]).await.unwrap_or_else(|it| panic!("{it}: {sql}"));
    let ids = table.rows.iter().map(|row| row[10].trim_start_matches("request-").parse().unwrap());
    let mut ids: Vec<u32> = ids.collect();
    ids.sort_unstable();
    ids
}

async fn stored(change: impl Fn(usize, &mut EnrichedEvent)) -> TestDatabase {
    let database = database().await;
    let now = EventTime::now();
    let mut events: Vec<_> = (0..8).map(|n| event(n, now.plus_seconds(-60.0), "key-a")).collect();
    events.iter_mut().enumerate().for_each(|(n, event)| change(n, event));
    database.store.write_batch(&batch(&partition(0), &events)).await.unwrap();
    database
}

const WEB: &str = r#"
title: Traversal and scanners, refused
id: 9d1f1a3e-0000-4000-8000-000000000001
level: high
logsource:
    category: webserver
detection:
    selection_path:
        cs-method: [get, POST]
        cs-uri|contains:
            - '/../'
            - '.ENV'
    selection_agent:
        - c-useragent|re|i: '^sqlmap/\d+'
        - c-useragent|startswith: Nikto
    keywords:
        - UNION%20SELECT
    filter_inside:
        c-ip|cidr: 10.0.0.0/8
    filter_ok:
        sc-status|lt: 300
    condition: (1 of selection_* or keywords) and not 1 of filter_*
"#;

#[tokio::test]
async fn a_webserver_rule_finds_its_requests() {
    let database = stored(|n, it| {
        it.event.status = 403;
        match n {
            0 => it.event.path = "/a/../etc/passwd".into(),
            1 => (it.event.path, it.event.method) = ("/.env".into(), "DELETE".into()),
            2 => it.event.user_agent = Some("SQLMAP/17".into()),
            3 => (it.event.user_agent, it.event.status) = (Some("nikto".into()), 200),
            4 => {
                (it.event.user_agent, it.event.client_ip) =
                    (Some("nikto".into()), [10, 1, 2, 3].into())
            }
            5 => it.event.path = "/q/union%20select".into(),
            6 => it.event.path = "/env".into(),
            _ => {}
        }
    })
    .await;
    assert_eq!(found(&database, WEB).await, [0, 2, 5]);
}

#[tokio::test]
async fn a_cloudtrail_rule_finds_calls_by_service_and_name() {
    let database = stored(|n, it| {
        let paths =
            ["iam.amazonaws.com:CreateAccessKey", "ec2.amazonaws.com:CreateAccessKey", "/v1"];
        it.event.path = paths[n % 3].into();
        it.event.tenant = Some(if n < 4 { "111122223333" } else { "444455556666" }.into());
        it.event.bytes_out = (n % 2 == 0).then_some(5);
        it.origin = origin("NL", 24_940);
    })
    .await;
    let rule = "title: x\nlogsource:\n    product: aws\n    service: cloudtrail\ndetection:\n    \
        calls:\n        eventSource: iam.amazonaws.com\n        eventName|endswith: Key\n    \
        ours:\n        userIdentity.accountId: 444455556666\n    condition: calls and not ours\n";
    assert_eq!(found(&database, rule).await, [0, 3]);
    let rule = "detection:\n    large:\n        bytes_out|gt: 1\n    place:\n        country: nl\n        \
        asn|gte: 24940\n    condition: place and not large\n";
    assert_eq!(found(&database, rule).await, [1, 3, 5, 7], "of unknown size is not large");
}

/// Values that are stored as they are must be found by the rule that names them, and nothing else.
#[tokio::test]
async fn hostile_values_are_compared_and_not_run() {
    const HOSTILE: [&str; 8] = [
        "'; DROP TABLE access_events; --",
        "\\' OR 1=1 --",
        "a\nb\t\0",
        "{x:String}",
        "100%_",
        "` OR `",
        "\u{202e}ü😀",
        "/*",
    ];
    let database = stored(|n, it| it.event.user_agent = Some(HOSTILE[n].into())).await;
    for (n, value) in HOSTILE.iter().enumerate() {
        let escaped = value.replace('\\', "\\\\").replace('*', "\\*");
        let json = serde_json::to_string(&escaped).unwrap();
        let rule = format!(
            "title: {json}\ndetection:\n    s:\n        userAgent|cased: {json}\n    condition: s\n"
        );
        assert_eq!(found(&database, &rule).await, [n as u32], "{value}");
    }
    let nothing = "detection:\n    s:\n        userAgent|re: \"' OR 1=1 --\"\n    condition: s\n";
    assert_eq!(found(&database, nothing).await, [1], "as text: {nothing}");
}

#[tokio::test]
async fn every_listed_field_is_a_column() {
    let database = stored(|_, _| {}).await;
    let fields = succeeded(&run(&["--fields"]));
    assert!(fields.contains("path\tpath cs-uri-stem"), "{fields}");
    for names in fields.lines().map(|line| line.split_once('\t').unwrap().1) {
        for name in names.split(' ') {
            for (value, is_found) in [("true", true), ("false", false)] {
                let rule = format!(
                    "detection:\n    s:\n        {name}|exists: {value}\n    condition: s or not s\n"
                );
                assert_eq!(found(&database, &rule).await.len(), 8, "{name}");
                let rule = rule.replace(" or not s", "");
                let path = ["path", "client_ip", "method", "key_id"].contains(&name);
                assert!(!path || (found(&database, &rule).await.len() == 8) == is_found, "{name}");
            }
        }
    }
}

#[test]
fn json_has_the_rule_s_facts_and_the_query() {
    let answer: Value =
        serde_json::from_str(&succeeded(&on(WEB, &["--json", "--limit", "5"]))).unwrap();
    assert_eq!(answer["title"], "Traversal and scanners, refused");
    assert_eq!(answer["level"], "high");
    assert!(answer["query"].as_str().unwrap().ends_with("LIMIT 5\n"));
}

#[test]
fn a_refusal_names_file_and_line_and_is_a_usage_error() {
    let rule = WEB.replace("cs-method", "CommandLine");
    let output = on(&rule, &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("rule.yml: line 9: access logs have no field `CommandLine`"), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "{said}");
    assert_eq!(run(&["/nothing"]).status.code(), Some(2));
    assert_eq!(run(&[]).status.code(), Some(2));
}
