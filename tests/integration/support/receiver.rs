//! Runs a webhook receiver for one test: it gives prepared replies and keeps the requests.

use std::collections::VecDeque;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::eventually::{LIMIT, eventually};

#[derive(Clone)]
pub enum Answer {
    Status(u16),
    WithHeader(u16, &'static str, &'static str),
    /// 200 with this body.
    Body(&'static str),
    /// Never replies.
    Hang,
}

#[derive(Clone, Debug)]
pub struct Received {
    /// Path and query.
    pub address: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// The payload, if the reference implementation accepts the signature.
    pub fn verified(&self, secret: &str) -> Option<Value> {
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        let headers = names.map(|name| (name, self.header(name))).into_iter().collect();
        verified(secret, &headers, str::from_utf8(&self.body).unwrap())
    }
}

#[derive(Clone, Default)]
struct Shared {
    /// The time that each answer takes.
    pause: Duration,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    received: Arc<Mutex<Vec<Received>>>,
}

pub struct Receiver {
    pub url: String,
    shared: Shared,
    server: JoinHandle<()>,
}

impl Receiver {
    /// Starts a receiver that gives these replies in order, and 204 afterwards.
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::slow(Duration::ZERO, answers).await
    }

    /// Starts a receiver that takes this time for each answer.
    pub async fn slow(pause: Duration, answers: impl IntoIterator<Item = Answer>) -> Self {
        let shared = Shared { pause, ..Shared::default() };
        shared.answers.lock().unwrap().extend(answers);
        let router = Router::new()
            .route("/hook", post(receive))
            .fallback(receive)
            .with_state(shared.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, server }
    }

    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// Reads what came, without a copy of all of it.
    pub fn read<T>(&self, read: impl FnOnce(&[Received]) -> T) -> T {
        read(&self.shared.received.lock().unwrap())
    }

    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        eventually(&format!("{count} calls"), LIMIT, async || {
            let received = self.received();
            if received.len() >= count { Ok(received) } else { Err(received) }
        })
        .await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn receive(
    State(shared): State<Shared>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, &'static str) {
    let received = Received { address: uri.to_string(), headers, body: body.to_vec() };
    shared.received.lock().unwrap().push(received);
    if !shared.pause.is_zero() {
        tokio::time::sleep(shared.pause).await;
    }
    let answer = shared.answers.lock().unwrap().pop_front().unwrap_or(Answer::Status(204));
    let (mut headers, mut body) = (HeaderMap::new(), "");
    let status = match answer {
        Answer::Status(status) => status,
        Answer::WithHeader(status, name, value) => {
            headers.insert(name, value.parse().unwrap());
            status
        }
        Answer::Body(text) => {
            body = text;
            200
        }
        Answer::Hang => std::future::pending().await,
    };
    (StatusCode::from_u16(status).unwrap(), headers, body)
}

/// Asks the reference implementation to verify; `None` if it refuses.
pub fn verified(secret: &str, headers: &Value, body: &str) -> Option<Value> {
    let script =
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/integration/support/verify_webhook.mjs");
    let mut node = Command::new("node")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("node starts");
    let input = json!({ "secret": secret, "headers": headers, "body": body });
    node.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
}
