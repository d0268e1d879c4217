//! `GET /v1/alerts/stream`: every stored revision of every alert, as server-sent events, for open
//! pages and for machines.
//!
//! The id of an event is its place among the alerts. A reader that comes back with `Last-Event-ID`
//! gets what it missed, and then what happens. Revisions of the last half minute may come again:
//! readers recognise them by `id` and `revision`.

mod feed;
mod session;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;

pub use self::feed::{Feed, watch};
use self::session::Session;
use super::Console;
use super::refusal::Refusal;

/// A comment is sent after this time without an alert, so that both ends notice a broken line.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Answers with a stream, if there is room for one more.
pub async fn alerts(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Refusal> {
    let last = match headers.get("last-event-id") {
        None => None,
        Some(id) => {
            let place = id.to_str().ok().and_then(feed::Place::parse);
            let sentence = "Last-Event-ID must be the id of an event of this stream.";
            Some(place.ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, sentence))?)
        }
    };
    let sentence = "Too many readers of this stream: close some, or come back later.";
    let session = Session::open(&console.feed, last)
        .ok_or_else(|| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, sentence))?;
    let events = stream::unfold(session, |mut session| async move {
        let event = session.next().await?;
        Some((Ok::<Event, Infallible>(event), session))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("heartbeat")))
}
