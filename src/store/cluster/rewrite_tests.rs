#![allow(clippy::panic)]

use super::*;
use crate::store::migrate::all_statements;

fn sql(statement: &str) -> Vec<String> {
    rewrite(statement, "kw").into_iter().map(|step| step.sql).collect()
}

#[test]
fn a_table_that_every_node_has_is_one_replicated_table_of_all_shards() {
    let statement = "-- Why.\nCREATE TABLE IF NOT EXISTS acts\n(\n    id String\n)\n\
                     ENGINE = ReplacingMergeTree(time)\nORDER BY id";
    let expected = "CREATE TABLE IF NOT EXISTS acts\n(\n    id String\n)\n\
                    ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/kw/all/{database}/{table}', \
                    '{shard}-{replica}', time)\nORDER BY id\nSETTINGS replicated_deduplication_window = 0";
    assert_eq!(sql(statement), [expected]);
}

#[test]
fn a_sharded_table_is_a_local_one_and_a_distributed_one() {
    let statement = "CREATE TABLE IF NOT EXISTS access_events (n UInt8) ENGINE = MergeTree ORDER BY n\n\
                     SETTINGS non_replicated_deduplication_window = 10";
    let [local, distributed] = &sql(statement)[..] else { panic!("two statements") };
    assert!(local.starts_with("CREATE TABLE IF NOT EXISTS access_events_local (n UInt8) ENGINE = \
         ReplicatedMergeTree('/clickhouse/tables/kw/{shard}/{database}/{table}', '{replica}') ORDER BY n"));
    assert!(local.ends_with("replicated_deduplication_window = 10"), "{local}");
    assert_eq!(
        distributed,
        "CREATE TABLE IF NOT EXISTS access_events AS access_events_local\n\
         ENGINE = Distributed('kw', currentDatabase(), 'access_events_local', \
         cityHash64(topic) + toUInt32(partition))"
    );
}

#[test]
fn both_tables_get_a_column_and_only_the_local_one_an_index() {
    let column = "ALTER TABLE access_events ADD COLUMN IF NOT EXISTS n UInt8";
    assert_eq!(sql(column), [column.replace("events", "events_local"), column.to_owned()]);
    let index = "ALTER TABLE access_events\n    ADD INDEX IF NOT EXISTS n n TYPE minmax";
    assert_eq!(sql(index), [index.replace("events", "events_local")]);
    let elsewhere = "ALTER TABLE alerts ADD COLUMN IF NOT EXISTS n UInt8";
    assert_eq!(sql(elsewhere), [elsewhere]);
}

#[test]
fn a_view_stays_within_its_shard() {
    let view = "CREATE MATERIALIZED VIEW IF NOT EXISTS v TO key_usage_hour AS\n\
                SELECT key_usage_minute.n FROM key_usage_minute\nGROUP BY n";
    let expected = "CREATE MATERIALIZED VIEW IF NOT EXISTS v TO key_usage_hour_local AS\n\
                    SELECT key_usage_minute.n FROM key_usage_minute_local AS key_usage_minute\nGROUP BY n";
    assert_eq!(sql(view), [expected]);
}

#[test]
fn rows_are_inserted_on_one_node() {
    let steps = rewrite("INSERT INTO process_beats (owner) VALUES ('')", "kw");
    assert_eq!(steps[0].place, Place::OneNode);
}

/// Lines that the rewritten migrations have and the files have not.
#[test]
fn the_migrations_change_in_these_lines() {
    let changed = all_statements().flat_map(|statement| {
        let lines: Vec<&str> = statement.lines().collect();
        let steps = rewrite(statement, "kw");
        let mut new: Vec<String> = Vec::new();
        for Step { sql, place } in steps {
            new.extend(sql.lines().filter(|line| !lines.contains(line)).map(str::to_owned));
            new.extend((place == Place::OneNode).then(|| format!("on one node: {sql}")));
        }
        new
    });
    insta::assert_snapshot!(changed.collect::<Vec<_>>().join("\n"));
}

#[test]
fn no_migration_does_what_is_unknown_here() {
    let known = [TABLE, "ALTER TABLE ", "CREATE MATERIALIZED VIEW ", "CREATE VIEW ", "INSERT "];
    for statement in all_statements() {
        let body = without_comments(statement);
        assert!(known.iter().any(|begin| body.starts_with(begin)), "{body}");
    }
}
