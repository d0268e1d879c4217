//! Tests the queries about registered keys.

use keywatch::registry::KeyChange;
use keywatch::store::{Author, Store};
use serde_json::json;

use super::{answer, events, hours_ago, stored};
use crate::clickhouse::samples::origin;
use crate::support::clickhouse::TestDatabase;

/// Registers keys, one JSON object each.
async fn register(store: &Store, keys: &[serde_json::Value]) {
    let keys = keys.iter().map(|key| serde_json::from_value(key.clone()).unwrap()).collect();
    let change = KeyChange { keys, events: Vec::new() };
    let author = Author { who: "x", origin: "command_line" };
    let after = store.latest_key_change().await.unwrap();
    assert!(store.change_keys(&change, author, after).await.unwrap().is_some());
}

/// A few registered keys, with some use.
async fn with_keys() -> TestDatabase {
    let used = |key: &str, scope: &str, hours: f64, offset: i64| {
        events(offset, [key], hours, |event| event.event.scope = Some(scope.into()))
    };
    let database = stored(&[
        used("ak_1", "read", 2.0, 0),
        used("ak_1", "write", 24.0 * 60.0, 1),
        used("ak_1", "write", 24.0 * 60.0, 2),
        used("ak_test", "read", 2.0, 3),
        used("ak_old", "read", 24.0 * 20.0, 4),
        used("ak_old", "read", 24.0 * 20.0 - 3.0, 5),
        used("ak_busy", "read", 0.01, 6),
        used("ak_next", "read", 2.0, 7),
    ])
    .await;
    let (days, expires) = (|days: f64| hours_ago(24.0 * days), hours_ago(-2_400.0));
    let keys = [
        json!({"key_id": "ak_1", "scopes": ["read", "write", "delete"], "created_at": days(300.0)}),
        json!({"key_id": "ak_test", "environment": "test", "expires_at": expires}),
        json!({"key_id": "ak_old", "rotated_to": "ak_next", "expires_at": expires}),
        json!({"key_id": "ak_busy", "rotated_to": "ak_next", "expires_at": expires}),
        json!({"key_id": "ak_next", "created_at": days(130.0), "expires_at": expires}),
        json!({"key_id": "ak_never", "created_at": days(100.0), "expires_at": expires}),
        json!({"key_id": "ak_trap", "created_at": days(999.0), "canary": true}),
        json!({"key_id": "ak_gone", "created_at": days(999.0), "status": "revoked"}),
    ];
    register(&database.store, &keys).await;
    database
}

#[tokio::test]
async fn keys() {
    let database = with_keys().await;
    let columns = ["key_id", "lifecycle", "matching"];
    let listed = answer(&database.store, "keys", &[("canary", "1")], &columns).await;
    assert_eq!(listed, ["ak_trap | active | 1"]);
    let values = [("key", "ak_o"), ("expires_within_days", "101")];
    let listed = answer(&database.store, "keys", &values, &columns).await;
    assert_eq!(listed, ["ak_old | rotating | 1"]);
    let listed = answer(&database.store, "keys", &[("limit", "1")], &columns).await;
    assert_eq!(listed, ["ak_1 | active | 8"]);
}

#[tokio::test]
async fn keys_unused() {
    let database = with_keys().await;
    let unused = answer(&database.store, "keys_unused", &[], &["key_id", "silent_days"]).await;
    assert_eq!(unused, ["ak_never | ᴺᵁᴸᴸ"]);
    let values = [("days", "10")];
    let unused = answer(&database.store, "keys_unused", &values, &["key_id", "silent_days"]).await;
    assert_eq!(unused, ["ak_never | ᴺᵁᴸᴸ", "ak_old | 19"]);
}

#[tokio::test]
async fn keys_scopes() {
    let database = with_keys().await;
    let columns = ["key_id", "unused", "proposed", "would_refuse"];
    let scopes = answer(&database.store, "keys_scopes", &[], &columns).await;
    assert_eq!(scopes, ["ak_1 | ['delete','write'] | ['read'] | 2"]);
}

#[tokio::test]
async fn keys_overdue() {
    let database = with_keys().await;
    let columns = ["key_id", "overdue_days", "overdue_band"];
    let overdue = answer(&database.store, "keys_overdue", &[], &columns).await;
    let bands =
        ["ak_1 | 210 | 180 and more", "ak_next | 40 | 30 to 60", "ak_never | 10 | less than 30"];
    assert_eq!(overdue, bands);
}

#[tokio::test]
async fn keys_without_expiry() {
    let database = with_keys().await;
    let never = answer(&database.store, "keys_without_expiry", &[], &["key_id"]).await;
    assert_eq!(never, ["ak_1"]);
}

#[tokio::test]
async fn keys_in_wrong_environment() {
    let database = with_keys().await;
    let columns = ["key_id", "registered", "used_in", "requests"];
    let wrong = answer(&database.store, "keys_in_wrong_environment", &[], &columns).await;
    assert_eq!(wrong, ["ak_test | test | production | 1"]);
}

#[tokio::test]
async fn keys_rotations() {
    let database = with_keys().await;
    let columns =
        ["key_id", "old_requests", "new_requests", "usual_gap_hours", "safe_to_switch_off"];
    let rotations = answer(&database.store, "keys_rotations", &[], &columns).await;
    assert_eq!(rotations, ["ak_busy | 1 | 1 | 0 | no", "ak_old | 0 | 1 | 3 | yes"]);
    let values = [("limit", "1")];
    let still = answer(&database.store, "keys_rotations", &values, &["still_used_by"]).await;
    assert_eq!(still, ["['192.0.2.1 client/1.0']"]);
}

#[tokio::test]
async fn keys_shared() {
    let from = |asn: u32| {
        events(i64::from(asn) * 10, ["many", "one"], 3.0, |event| {
            if event.event.key_id == "many" {
                event.origin = origin("DE", asn);
            }
        })
    };
    let database = stored(&[from(1), from(2), from(3)]).await;
    let values = [("networks", "3")];
    let shared = answer(&database.store, "keys_shared", &values, &["key_id", "networks"]).await;
    assert_eq!(shared, ["many | 3"]);
}
