//! Serves `POST /v1/events` and answers only after the events are stored.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_LENGTH, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Serialize;
use tokio::time::timeout;

use super::body::{Encoding, Format, split};
use super::inbox::{Inbox, Outcome, Space};
use super::repeats::{Decision, Identity, Repeats, UnderWay};
use super::verdict::{Refusal, Refusals};
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
    repeats: Repeats,
}

/// The answer to a request whose events are stored.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Accepted {
    accepted: usize,
    rejected: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rejections: Vec<Refusal>,
    first_offset: i64,
    last_offset: i64,
}

impl Accepted {
    pub(super) fn new(
        events: usize,
        first_offset: i64,
        last_offset: i64,
        refusals: Refusals,
    ) -> Self {
        let Refusals { events: rejected, listed: rejections, .. } = refusals;
        let accepted = events.saturating_sub(rejected);
        Self { accepted, rejected, rejections, first_offset, last_offset }
    }
}

impl Server {
    pub(super) fn new(config: &HttpConfig, access: Access, inbox: Inbox, repeats: Repeats) -> Self {
        Self {
            inbox,
            access,
            max_body_bytes: config.max_body_bytes,
            max_body_records: config.max_body_records,
            store_timeout: Duration::from_secs(config.store_timeout_seconds),
            repeats,
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
) -> Result<Response, Problem> {
    let sender = server.access.check(&uri, &headers)?.to_owned();
    let (records, space) = server.records(&headers, body).await?;
    let Some(identity) = Identity::of(&sender, &headers, &records)? else {
        let all = Wanted::all(records.len());
        return Ok(Json(server.store(records, None, space, all).await?).into_response());
    };
    match server.repeats.decide(&identity, records.len()).await? {
        Decision::Known(answer) => Ok((REPLAYED, Json(answer)).into_response()),
        Decision::Store { places, earlier, under_way } => {
            let total = records.len();
            let wanted = records.into_iter().enumerate().filter(|(at, _)| places.contains(at));
            let wanted: Vec<_> = wanted.map(|(_, record)| record).collect();
            let places = places.into_iter().collect();
            let rest = Wanted { total, places, earlier, under_way: Some(under_way) };
            Ok(Json(server.store(wanted, Some(identity), space, rest).await?).into_response())
        }
    }
}

/// Tells a sender that the request was stored before.
const REPLAYED: [(&str, &str); 1] = [("idempotency-replayed", "true")];

/// The part of a request that is to be stored.
struct Wanted {
    /// The number of events of the request.
    total: usize,
    /// The places of those that are stored now.
    places: Vec<usize>,
    /// The refusals among the others.
    earlier: Refusals,
    under_way: Option<UnderWay>,
}

impl Wanted {
    fn all(total: usize) -> Self {
        let places = (0..total).collect();
        Self { total, places, earlier: Refusals::default(), under_way: None }
    }

    /// Makes the answer, and remembers it also when nobody waits for it any more.
    fn answer(self, first_offset: i64, last_offset: i64, refusals: Refusals) -> Accepted {
        let Self { total, places, mut earlier, under_way } = self;
        earlier.join(refusals, &places);
        let answer = Accepted::new(total, first_offset, last_offset, earlier);
        if let Some(under_way) = under_way {
            under_way.stored(answer.clone());
        }
        answer
    }
}

impl Server {
    /// Submits the events and waits until they are stored.
    async fn store(
        &self,
        records: Vec<Vec<u8>>,
        identity: Option<Identity>,
        space: Space,
        wanted: Wanted,
    ) -> Result<Accepted, Problem> {
        let outcome = self.inbox.submit(records, identity, space);
        // A task of its own: the outcome counts also when the client has gone.
        let answered = tokio::spawn(async move {
            match outcome.await {
                Ok(Outcome::Stored { first_offset, last_offset, refusals }) => {
                    Ok(wanted.answer(first_offset, last_offset, refusals))
                }
                Ok(Outcome::NotTaken) => Err(stopping()),
                Err(_) => Err(outcome_unknown()),
            }
        });
        match timeout(self.store_timeout, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(outcome_unknown()),
        }
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
        send them again with the same Idempotency-Key, or the same request_id in each event, so \
        that they are not stored twice";
    Problem::new(StatusCode::GATEWAY_TIMEOUT, detail)
}
