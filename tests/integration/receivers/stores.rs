//! Stands in for key stores: each checks requests as the real one documents them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::aws;
use super::running::TOKEN;

/// The consumer whose credentials Kong's stand-in holds.
const CONSUMER: &str = "7bb5b6a5-4b52-4d0a-9c5e-0a6a2d5e3c11";

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Kong,
    Aws,
    Tyk,
    Unkey,
}

impl Kind {
    pub fn recipe(self) -> &'static str {
        match self {
            Self::Kong => "kong",
            Self::Aws => "aws-apigateway",
            Self::Tyk => "tyk",
            Self::Unkey => "unkey",
        }
    }
}

/// Whether each key works; deleted keys are absent.
type Keys = BTreeMap<String, bool>;

#[derive(Clone)]
struct Shared {
    kind: Kind,
    keys: Arc<Mutex<Keys>>,
    calls: Arc<Mutex<Vec<String>>>,
    /// Answers of 500 that come first.
    faults: Arc<Mutex<u32>>,
}

pub struct KeyStore {
    pub url: String,
    shared: Shared,
    server: JoinHandle<()>,
}

pub struct Call<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

impl Call<'_> {
    fn has(&self, header: &str, value: &str) -> bool {
        self.headers.get(header).is_some_and(|it| it == value)
    }

    fn json(&self) -> Value {
        serde_json::from_slice(self.body).unwrap_or_default()
    }
}

impl KeyStore {
    pub async fn start(kind: Kind, keys: &[&str]) -> Self {
        let keys = keys.iter().map(|key| ((*key).to_owned(), true)).collect();
        let shared = Shared {
            kind,
            keys: Arc::new(Mutex::new(keys)),
            calls: Arc::default(),
            faults: Arc::default(),
        };
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, server }
    }

    /// Whether the key works; `None` if it was deleted.
    pub fn works(&self, key: &str) -> Option<bool> {
        self.shared.keys.lock().unwrap().get(key).copied()
    }

    pub fn calls(&self) -> Vec<String> {
        self.shared.calls.lock().unwrap().clone()
    }

    pub fn fail(&self, times: u32) {
        *self.shared.faults.lock().unwrap() = times;
    }
}

impl Drop for KeyStore {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    shared.calls.lock().unwrap().push(format!("{method} {uri}"));
    let mut faults = shared.faults.lock().unwrap();
    if *faults > 0 {
        *faults -= 1;
        return (StatusCode::INTERNAL_SERVER_ERROR, String::new());
    }
    let call = Call {
        method: method.as_str(),
        path: uri.path(),
        query: uri.query().unwrap_or_default(),
        headers: &headers,
        body: &body,
    };
    let keys = &mut shared.keys.lock().unwrap();
    let (status, body) = match shared.kind {
        Kind::Kong => kong(&call, keys),
        Kind::Aws => aws(&call, keys),
        Kind::Tyk => tyk(&call, keys),
        Kind::Unkey => unkey(&call, keys),
    };
    let body = if body.is_null() { String::new() } else { body.to_string() };
    (StatusCode::from_u16(status).unwrap(), body)
}

/// <https://developer.konghq.com/api/gateway/admin-ee/>: a deletion is answered 204 in any case.
fn kong(call: &Call<'_>, keys: &mut Keys) -> (u16, Value) {
    if !call.has("kong-admin-token", TOKEN) {
        return (401, json!({"message": "Unauthorized"}));
    }
    let parts: Vec<&str> = call.path.split('/').skip(1).collect();
    match (call.method, parts.as_slice()) {
        ("GET", ["key-auths", key, "consumer"]) if keys.contains_key(*key) => {
            (200, json!({"id": CONSUMER, "username": "acme", "custom_id": null, "tags": null}))
        }
        ("DELETE", ["consumers", CONSUMER, "key-auth", key]) => {
            keys.remove(*key);
            (204, Value::Null)
        }
        _ => (404, json!({"message": "Not found"})),
    }
}

/// <https://docs.aws.amazon.com/apigateway/latest/api/API_UpdateApiKey.html>
fn aws(call: &Call<'_>, keys: &mut Keys) -> (u16, Value) {
    if let Err(reason) = aws::verify(call) {
        return (403, json!({"message": reason}));
    }
    let Some(key) = call.path.strip_prefix("/apikeys/").filter(|key| keys.contains_key(*key))
    else {
        return (404, json!({"message": "Invalid API Key identifier specified"}));
    };
    if call.method == "DELETE" {
        keys.remove(key);
        return (202, Value::Null);
    }
    let operation = &call.json()["patchOperations"];
    let [one] = operation.as_array().map_or(&[][..], Vec::as_slice) else {
        return (400, json!({"message": "Invalid patch"}));
    };
    // The value of every patch is a string.
    match (call.method, &one["op"], &one["path"], one["value"].as_str()) {
        ("PATCH", op, path, Some(value)) if op == "replace" && path == "/enabled" => {
            keys.insert(key.to_owned(), value == "true");
            (200, json!({"id": key, "enabled": value == "true"}))
        }
        _ => (400, json!({"message": "Invalid patch"})),
    }
}

fn session(is_inactive: bool) -> Value {
    json!({
        "org_id": "5e9d9544a1dcd60001d0ed20", "rate": 1000, "per": 60, "quota_max": -1,
        "access_rights": {"orders": {"api_id": "orders", "versions": ["Default"]}},
        "is_inactive": is_inactive,
    })
}

/// <https://tyk.io/docs/api-reference/keys/update-key>: an update replaces the whole session.
fn tyk(call: &Call<'_>, keys: &mut Keys) -> (u16, Value) {
    if !call.has("x-tyk-authorization", TOKEN) {
        return (403, json!({"status": "error", "message": "Attempted administrative access"}));
    }
    let is_hashed = call.query.split('&').any(|it| it == "hashed=true");
    let key = call.path.strip_prefix("/tyk/keys/").filter(|_| is_hashed);
    let Some(key) = key.filter(|key| keys.contains_key(*key)) else {
        return (404, json!({"status": "error", "message": "There is no such key found"}));
    };
    match call.method {
        "GET" => (200, session(!keys[key])),
        "PUT" => {
            let (given, is_inactive) = (call.json(), call.json()["is_inactive"] == true);
            if given != session(is_inactive) || !call.query.contains("suppress_reset=1") {
                return (400, json!({"status": "error", "message": "Request malformed"}));
            }
            keys.insert(key.to_owned(), !is_inactive);
            (200, json!({"key": "", "key_hash": key, "status": "ok", "action": "modified"}))
        }
        "DELETE" => {
            keys.remove(key);
            (200, json!({"key": key, "status": "ok", "action": "deleted"}))
        }
        _ => (405, Value::Null),
    }
}

/// <https://www.unkey.com/docs/api-reference/v2>
fn unkey(call: &Call<'_>, keys: &mut Keys) -> (u16, Value) {
    if !call.has("authorization", &format!("Bearer {TOKEN}")) {
        return (401, json!({"error": {"title": "Unauthorized", "status": 401}}));
    }
    let body = call.json();
    let id = body["keyId"].as_str().unwrap_or_default();
    let is_id = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if call.method != "POST" || !call.has("content-type", "application/json") || !is_id {
        return (400, json!({"error": {"title": "Bad Request", "status": 400}}));
    }
    if !keys.contains_key(id) {
        return (404, json!({"error": {"title": "Not Found", "status": 404}}));
    }
    match (call.path, body["enabled"].as_bool()) {
        ("/v2/keys.updateKey", Some(works)) => drop(keys.insert(id.to_owned(), works)),
        ("/v2/keys.deleteKey", None) => drop(keys.remove(id)),
        _ => return (400, json!({"error": {"title": "Bad Request", "status": 400}})),
    }
    (200, json!({"meta": {"requestId": "req_2cGKbMxRyIzhCxo1Idjz8q"}, "data": {}}))
}
