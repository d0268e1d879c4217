//! Serves `POST /v1/events` and answers only after the events are stored.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use serde::Serialize;
use subtle::ConstantTimeEq;
use tokio::time::timeout;

use super::body::{Encoding, Format, split};
use super::inbox::{Inbox, Outcome};
use crate::config::{HttpConfig, Secret};
use crate::http::body::{self, too_large};
use crate::http::{Problem, listener};

/// A body must arrive within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct Server {
    inbox: Inbox,
    token: Secret,
    max_body_bytes: usize,
    store_timeout: Duration,
}

#[derive(Serialize)]
struct Accepted {
    accepted: usize,
    first_offset: i64,
    last_offset: i64,
}

impl Server {
    pub(super) fn new(config: &HttpConfig, inbox: Inbox) -> Self {
        Self {
            inbox,
            token: config.token.clone(),
            max_body_bytes: config.max_body_bytes,
            store_timeout: Duration::from_secs(config.store_timeout_seconds),
        }
    }

    pub(super) fn into_router(self) -> Router {
        listener::with_refusals(
            Router::new().route("/v1/events", post(receive)),
            "there is nothing at this path",
            "this path does not accept this method",
        )
        .with_state(Arc::new(self))
    }

    fn authorize(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let expected = self.token.reveal().as_bytes();
        if expected.is_empty() {
            return Ok(());
        }
        let given = headers.get(AUTHORIZATION).map(|value| value.as_bytes()).and_then(bearer_token);
        if given.is_some_and(|given| bool::from(given.ct_eq(expected))) {
            return Ok(());
        }
        let detail = "send the token of source.http.token as `Authorization: Bearer TOKEN`";
        Err(Problem::new(StatusCode::UNAUTHORIZED, detail).with_header(WWW_AUTHENTICATE, "Bearer"))
    }

    /// Returns the memory to reserve for the body: its declared size, or the allowed maximum.
    fn size_to_reserve(&self, headers: &HeaderMap, encoding: Encoding) -> Result<usize, Problem> {
        let length =
            headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        match length {
            Some(length) if length > self.max_body_bytes => Err(too_large(self.max_body_bytes)),
            Some(length) if encoding == Encoding::Identity => Ok(length),
            _ => Ok(self.max_body_bytes),
        }
    }
}

/// RFC 6750, section 2.1; the scheme's name is case-insensitive (RFC 9110, 11.1).
fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

async fn receive(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Accepted>, Problem> {
    server.authorize(&headers)?;
    let format = Format::of(&headers)?;
    let encoding = Encoding::of(&headers)?;
    let size = server.size_to_reserve(&headers, encoding)?;
    let space = server.inbox.reserve(size).ok_or_else(queue_full)?;
    let max_bytes = server.max_body_bytes;
    let bytes = body::read(body, max_bytes, BODY_TIMEOUT).await?;
    let records =
        off_the_runtime(move || split(&encoding.decode(&bytes, max_bytes)?, format)).await??;
    let accepted = records.len();
    let outcome = server.inbox.submit(records, space);
    match timeout(server.store_timeout, outcome).await {
        Ok(Ok(Outcome::Stored { first_offset, last_offset })) => {
            Ok(Json(Accepted { accepted, first_offset, last_offset }))
        }
        Ok(Ok(Outcome::NotTaken)) => Err(stopping()),
        Ok(Err(_)) | Err(_) => Err(outcome_unknown()),
    }
}

/// Runs outside the runtime, because decompressing and parsing many megabytes would delay other
/// requests.
async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the body could not be read"))
}

fn queue_full() -> Problem {
    let detail = "too many events wait to be stored: no event of this request was accepted, \
        send it again later";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_header(RETRY_AFTER, "1")
}

fn stopping() -> Problem {
    let detail = "the service is stopping: no event of this request was stored, send it again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_header(RETRY_AFTER, "5")
}

fn outcome_unknown() -> Problem {
    let detail = "the events were accepted, but it is unknown whether they are stored: \
        send them again with the same request_id, so that duplicates are recognised";
    Problem::new(StatusCode::GATEWAY_TIMEOUT, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bearer_scheme_is_case_insensitive_and_required() {
        assert_eq!(bearer_token(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer_token(b"bearer  abc"), Some(&b"abc"[..]));
        assert_eq!(bearer_token(b"Basic abc"), None);
        assert_eq!(bearer_token(b"Bearer"), None);
    }
}
