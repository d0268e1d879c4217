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

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;
use tokio::time::{Interval, interval};

pub use self::feed::{Feed, watch};
use self::session::Session;
use super::Console;
use super::refusal::Refusal;
use super::visitor::Visitor;

/// A comment is sent after this time without an alert, so that both ends notice a broken line.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// A stream whose session has ended is closed within about this time.
const LOOK_AT_RIGHTS: Duration = Duration::from_secs(5);

/// Answers with a stream, if there is room for one more.
pub async fn alerts(
    State(console): State<Arc<Console>>,
    Extension(visitor): Extension<Visitor>,
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
    let rights = Rights { console, visitor, looks: interval(LOOK_AT_RIGHTS) };
    let events = stream::unfold((session, rights), |(mut session, mut rights)| async move {
        let event = tokio::select! {
            event = session.next() => event?,
            () = rights.lost() => return None,
        };
        Some((Ok::<Event, Infallible>(event), (session, rights)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("heartbeat")))
}

/// The reader's right to go on reading.
struct Rights {
    console: Arc<Console>,
    visitor: Visitor,
    looks: Interval,
}

impl Rights {
    /// Completes when the session has ended, or the account. Events in between do not delay it.
    async fn lost(&mut self) {
        loop {
            self.looks.tick().await;
            if !self.console.directory.still_admits(self.visitor.pass()).await {
                return;
            }
        }
    }
}
