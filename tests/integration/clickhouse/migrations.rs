//! Tests that migrations bring a database to the schema of this version.

use keywatch::config::ClickHouseConfig;
use keywatch::store::{Store, StoreError};

use crate::support::clickhouse::{client, lines, unmigrated};

#[tokio::test]
async fn the_first_migration_applies_every_file_and_the_second_none() {
    let database = unmigrated().await;
    let applied = database.store.migrate().await.unwrap();
    assert_eq!(applied.first(), Some(&"0001_access_events.sql"));
    assert_eq!(database.store.migrate().await.unwrap(), Vec::<&str>::new());
    let recorded = lines(&database.store, "SELECT name FROM schema_migrations ORDER BY name").await;
    assert_eq!(recorded, applied);
}

#[tokio::test]
async fn an_interrupted_migration_runs_again() {
    let database = unmigrated().await;
    database.store.migrate().await.unwrap();
    let client = client(&database.config);
    client.query("TRUNCATE TABLE schema_migrations").execute().await.unwrap();
    assert!(!database.store.migrate().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_file_changed_after_it_was_applied_is_an_error() {
    let database = unmigrated().await;
    database.store.migrate().await.unwrap();
    client(&database.config)
        .query("INSERT INTO schema_migrations (name, checksum) VALUES ('0003_alerts.sql', 'other')")
        .execute()
        .await
        .unwrap();
    let error = database.store.migrate().await.unwrap_err();
    assert!(matches!(error, StoreError::ChangedMigration { name } if name == "0003_alerts.sql"));
}

#[tokio::test]
async fn the_retention_of_the_configuration_is_applied() {
    let database = unmigrated().await;
    let engines = "SELECT engine_full FROM system.tables WHERE database = currentDatabase() \
                   AND name IN ('access_events', 'source_usage_hour')";
    for days in [30, 7, 7, 0, 0, 9] {
        let config = ClickHouseConfig { raw_retention_days: days, ..database.config.clone() };
        Store::new(&config).migrate().await.unwrap();
        let engines = lines(&database.store, engines).await;
        assert_eq!(engines.len(), 2);
        for engine in engines {
            match days {
                0 => assert!(!engine.contains(" TTL "), "kept for ever: {engine}"),
                _ => assert!(engine.contains(&format!("toIntervalDay({days})")), "{engine}"),
            }
        }
    }
}

#[tokio::test]
async fn a_retention_that_would_wrap_around_is_refused() {
    let database = unmigrated().await;
    let config = ClickHouseConfig { raw_retention_days: 36_500, ..database.config.clone() };
    let error = Store::new(&config).migrate().await.unwrap_err();
    assert!(matches!(error, StoreError::Retention { .. }), "{error}");
}
