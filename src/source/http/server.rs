//! Serves `POST /v1/events` and answers only after the events are stored.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_LENGTH, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::post;
use axum::{Json, Router};
use serde::Serialize;
use tokio::time::timeout;

use super::body::{Encoding, Format, split};
use super::inbox::{Inbox, Outcome, Space};
use crate::config::HttpConfig;
use crate::http::body::{self, too_large};
use crate::http::{Access, Problem, listener};

/// A body must arrive within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct Server {
    inbox: Inbox,
    access: Access,
    max_body_bytes: usize,
    max_body_records: usize,
    store_timeout: Duration,
}

#[derive(Serialize)]
struct Accepted {
    accepted: usize,
    first_offset: i64,
    last_offset: i64,
}

impl Server {
    pub(super) fn new(config: &HttpConfig, access: Access, inbox: Inbox) -> Self {
        Self {
            inbox,
            access,
            max_body_bytes: config.max_body_bytes,
            max_body_records: config.max_body_records,
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

    /// Refuses a body that announces to be too large before it is sent.
    fn check_length(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let length: Option<usize> =
            headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if length.is_some_and(|length| length > self.max_body_bytes) {
            return Err(too_large(self.max_body_bytes));
        }
        Ok(())
    }

    /// Reads the body into records. The space for it grows as its bytes arrive.
    async fn records(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(Vec<Vec<u8>>, Space), Problem> {
        let (format, encoding) = (Format::of(headers)?, Encoding::of(headers)?);
        self.check_length(headers)?;
        let (max_bytes, max_records) = (self.max_body_bytes, self.max_body_records);
        let mut space = self.inbox.reserve(0).ok_or_else(queue_full)?;
        let reserve =
            move |space: &mut Space, bytes| space.grow(bytes).then_some(()).ok_or_else(queue_full);
        let take = |bytes| reserve(&mut space, bytes);
        let bytes = body::read(body, max_bytes, BODY_TIMEOUT, take).await?;
        off_the_runtime(move || {
            let text = encoding.decode(bytes, max_bytes, |bytes| reserve(&mut space, bytes))?;
            Ok((split(&text, format, max_records)?, space))
        })
        .await?
    }
}

async fn receive(
    State(server): State<Arc<Server>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Accepted>, Problem> {
    server.access.check(&uri, &headers)?;
    let (records, space) = server.records(&headers, body).await?;
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
