//! Receives webhooks as a user of Keywatch would: it checks each signature by the Standard Webhooks
//! specification and shares no code with the sender.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::config::{Secret, WebhookConfig};
use crate::event::EventTime;

/// Older or newer timestamps are refused, as the specification asks.
const TOLERANCE_SECONDS: f64 = 300.0;

/// The number of webhooks received.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) received: AtomicU64,
    pub(super) verified: AtomicU64,
}

pub(super) struct Receiver {
    url: String,
    secret: [u8; 32],
    count: Arc<Count>,
    server: JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    key: Hmac<Sha256>,
    count: Arc<Count>,
}

impl Receiver {
    /// Listens on a free port of loopback, with a secret made for this run.
    pub(super) async fn start() -> io::Result<Self> {
        let secret: [u8; 32] = rand::random();
        let key = Hmac::new_from_slice(&secret).map_err(io::Error::other)?;
        let count = Arc::new(Count::default());
        let shared = Shared { key, count: Arc::clone(&count) };
        let router = Router::new().route("/hook", post(receive)).with_state(shared);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let server = tokio::spawn(async move {
            // Serving fails only if the listener fails; the sender then reports that it cannot
            // connect.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, secret, count, server })
    }

    pub(super) fn config(&self) -> WebhookConfig {
        WebhookConfig {
            url: self.url.clone(),
            secret: Secret::new(format!("whsec_{}", STANDARD.encode(self.secret))),
            secret_file: None,
            min_severity: crate::alert::Severity::Low,
            timeout_seconds: 10,
            max_in_flight: 8,
        }
    }

    pub(super) fn count(&self) -> &Count {
        &self.count
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn receive(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> StatusCode {
    shared.count.received.fetch_add(1, Ordering::Relaxed);
    if verify(&shared.key, &headers, &body, EventTime::now()).is_none() {
        return StatusCode::UNAUTHORIZED;
    }
    shared.count.verified.fetch_add(1, Ordering::Relaxed);
    StatusCode::NO_CONTENT
}

/// `None` if a header is missing, the timestamp is too old or too new, or the signature was not
/// made with `key`.
fn verify(key: &Hmac<Sha256>, headers: &HeaderMap, body: &[u8], now: EventTime) -> Option<()> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
    let sent = EventTime::from_seconds(timestamp.parse().ok()?);
    if now.seconds_since(sent).abs() > TOLERANCE_SECONDS {
        return None;
    }
    let mut mac = key.clone();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    header("webhook-signature")?
        .split(' ')
        .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
        .find_map(|signature| mac.clone().verify_slice(&signature).ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn signed(body: &[u8], timestamp: i64) -> (Hmac<Sha256>, HeaderMap) {
        let key = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap();
        let mut mac = key.clone();
        mac.update(format!("msg_1.{timestamp}.").as_bytes());
        mac.update(body);
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", "msg_1".parse().unwrap());
        headers.insert("webhook-timestamp", timestamp.into());
        headers.insert("webhook-signature", signature.parse().unwrap());
        (key, headers)
    }

    #[test]
    fn only_a_fresh_signature_of_this_body_is_accepted() {
        let now = EventTime::from_seconds(1_780_000_000);
        let (key, headers) = signed(b"{}", 1_780_000_000);
        assert!(verify(&key, &headers, b"{}", now).is_some());
        assert!(verify(&key, &headers, b"{ }", now).is_none());
        assert!(verify(&key, &headers, b"{}", now.plus_seconds(301.0)).is_none());
        let other = Hmac::new_from_slice(&[8; 32]).unwrap();
        assert!(verify(&other, &headers, b"{}", now).is_none());
        assert!(verify(&key, &HeaderMap::new(), b"{}", now).is_none());
    }
}
