//! Tests `sql/roles.sql`: what analysts and people of one tenant may read.

use keywatch::event::EventTime;

use super::acts::store_alerts;
use super::samples::{alert, batch, event, partition};
use crate::support::clickhouse::{TestDatabase, database};

const ROLES: &str = include_str!("../../../sql/roles.sql");

fn client(database: &TestDatabase) -> clickhouse::Client {
    clickhouse::Client::default()
        .with_url(&database.config.url)
        .with_database(&database.config.database)
}

async fn execute(client: &clickhouse::Client, statement: &str) {
    client.query(statement).execute().await.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// The database with roles, and requests and alerts of two tenants.
async fn with_roles() -> TestDatabase {
    let database = database().await;
    let now = EventTime::now();
    let mut events = [event(0, now, "a"), event(1, now, "b"), event(2, now, "c")];
    events[2].event.tenant = Some("globex".into());
    database.store.write_batch(&batch(&partition(0), &events)).await.unwrap();
    let mut other = alert("two", 1, "c", now);
    other.tenant = Some("globex".into());
    store_alerts(&database.store, 10, &[alert("one", 1, "a", now), other]).await;
    let client = client(&database);
    // Twice: an administrator may repeat it.
    for statement in [ROLES, ROLES].iter().flat_map(|sql| sql.split(";\n")) {
        if !statement.trim().is_empty() {
            execute(&client, statement).await;
        }
    }
    database
}

/// A client of a new user who has the role.
async fn user(database: &TestDatabase, name: &str, role: &str) -> clickhouse::Client {
    let client = client(database);
    execute(&client, &format!("CREATE USER {name} IDENTIFIED BY 'secret'")).await;
    execute(&client, &format!("GRANT {role} TO {name}")).await;
    client.with_user(name).with_password("secret")
}

async fn keys(client: &clickhouse::Client, table: &str) -> Result<Vec<String>, String> {
    let sql = format!("SELECT DISTINCT key_id FROM {table} ORDER BY key_id");
    client.query(&sql).fetch_all().await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn an_analyst_reads_what_is_stored_and_changes_nothing() {
    let database = with_roles().await;
    let analyst = user(&database, "alice", "keywatch_analyst").await;
    for table in ["access_events", "key_usage_1h", "key_timeline"] {
        assert_eq!(keys(&analyst, table).await.unwrap(), ["a", "b", "c"], "{table}");
    }
    assert_eq!(keys(&analyst, "incidents").await.unwrap(), ["a", "c"]);
    for refused in [
        "SELECT count() FROM state_chunks",
        "SELECT count() FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
        "INSERT INTO incident_acts (incident) VALUES ('one')",
        "ALTER TABLE alerts DELETE WHERE true",
        "SELECT sum(number) FROM numbers(100) SETTINGS max_execution_time = 0",
    ] {
        let answer = analyst.query(refused).fetch_one::<u64>().await;
        assert!(answer.is_err(), "{refused}");
    }
}

#[tokio::test]
async fn a_person_of_one_tenant_reads_that_tenant_alone() {
    let database = with_roles().await;
    let person = user(&database, "tenant_acme", "keywatch_tenant").await;
    assert_eq!(keys(&person, "access_events").await.unwrap(), ["a", "b"]);
    assert_eq!(keys(&person, "alerts").await.unwrap(), ["a"]);
    for table in ["key_usage_hour", "incidents", "key_timeline"] {
        assert!(keys(&person, table).await.is_err(), "{table}");
    }
    // Whoever has no policy reads everything, as before.
    assert_eq!(keys(&client(&database), "access_events").await.unwrap(), ["a", "b", "c"]);
}
