//! Runs the SQL of every panel of the Grafana dashboards on the real ClickHouse engine.

use keywatch::alert::AlertType;
use keywatch::event::EventTime;
use serde_json::Value;

use super::acts::store_alerts;
use super::samples::{alert, batch, partition, varied_events};
use crate::support::clickhouse::{TestDatabase, database};

const DASHBOARDS: [&str; 2] = [
    include_str!("../../../deploy/grafana/dashboards/overview.json"),
    include_str!("../../../deploy/grafana/dashboards/key.json"),
];

/// A key whose name would end a text in SQL if it were put there as it is.
const KEY: &str = "it's\\";

/// Grafana's formats of the key's name: percent-encoding leaves no quote and no backslash.
const ENCODED_KEY: &str = "it%27s%5C";

/// Replaces `$__name(argument)` by `expansion`, in which `@` stands for the argument.
fn expand(sql: &str, name: &str, expansion: &str) -> String {
    let call = format!("$__{name}(");
    let mut parts = sql.split(call.as_str());
    let mut expanded = parts.next().unwrap().to_owned();
    for part in parts {
        let (argument, rest) = part.split_once(')').unwrap();
        expanded += &expansion.replace('@', argument);
        expanded += rest;
    }
    expanded
}

/// As the plugin `grafana-clickhouse-datasource` expands its macros, for the last week.
fn expanded(sql: &str) -> String {
    let sql = sql.replace("${key:percentencode}", ENCODED_KEY);
    let within = "@ >= now() - INTERVAL 7 DAY AND @ <= now() + INTERVAL 1 HOUR";
    let sql = expand(&sql, "timeFilter", within);
    let sql = expand(&sql, "dateFilter", "@ >= today() - 7 AND @ <= today() + 1");
    let sql = expand(&sql, "timeInterval", "toStartOfInterval(toDateTime(@), INTERVAL 60 second)");
    assert!(!sql.contains('$'), "{sql}");
    sql
}

/// The titles and the SQL of all panels that ask ClickHouse.
fn panels() -> Vec<(String, String)> {
    let mut panels = Vec::new();
    for dashboard in DASHBOARDS {
        let dashboard: Value = serde_json::from_str(dashboard).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = format!("{}: {}", dashboard["title"], panel["title"]);
            let targets = panel["targets"].as_array().unwrap();
            let sql = targets.iter().filter_map(|target| target["rawSql"].as_str());
            panels.extend(sql.map(|sql| (title.clone(), expanded(sql))));
        }
    }
    panels
}

async fn with_traffic() -> TestDatabase {
    let database = database().await;
    let now = EventTime::now();
    let mut events = varied_events(400, 0, now.plus_seconds(-1_000.0), 2.0);
    for event in events.iter_mut().step_by(2) {
        event.event.key_id = KEY.into();
    }
    database.store.write_batch(&batch(&partition(0), &events)).await.unwrap();
    let mut asked = alert("one", 2, KEY, now);
    asked.alert_type = AlertType::RevocationRequested;
    store_alerts(&database.store, 1_000, &[alert("one", 1, KEY, now), asked]).await;
    database
}

#[tokio::test]
async fn every_panel_has_an_answer() {
    let database = with_traffic().await;
    let panels = panels();
    assert!(panels.len() >= 13, "{}", panels.len());
    for (title, sql) in panels {
        let table = database.store.query_table(&sql, &[]).await;
        let table = table.unwrap_or_else(|error| panic!("{title}: {error}\n{sql}"));
        assert!(!table.rows.is_empty(), "{title}: no rows from\n{sql}");
    }
}
