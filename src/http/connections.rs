//! Bounds the open connections of an endpoint and keeps room for the next one.
//!
//! When all places are taken, the connection that has waited longest for a request gives way. A
//! client that opens connections and sends nothing thus displaces its own, and cannot keep others
//! out.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use metrics::counter;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// The places for the connections of one endpoint.
#[derive(Clone)]
pub struct Connections {
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Idle>>,
}

/// Connections without a request, in the order in which they began to wait.
#[derive(Default)]
struct Idle {
    next: u64,
    waiting: BTreeMap<u64, CancellationToken>,
}

impl Connections {
    pub fn new(most: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(most)), idle: Arc::default() }
    }

    /// Takes a place for a new connection. Waits while every connection has a request in progress.
    pub async fn enter(&self) -> Connection {
        if self.places.available_permits() == 0 {
            self.displace_oldest();
        }
        // The semaphore is never closed.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let given_up = CancellationToken::new();
        let state = Mutex::new(State { requests: 0, waits_as: None });
        let connection = Connection(Arc::new(Inner {
            idle: Arc::clone(&self.idle),
            given_up,
            state,
            _place: place,
        }));
        connection.0.wait();
        connection
    }

    /// Closes all connections without a request.
    pub fn close_idle(&self) {
        for given_up in std::mem::take(&mut self.idle.lock().waiting).into_values() {
            given_up.cancel();
        }
    }

    fn displace_oldest(&self) {
        if let Some((_, given_up)) = self.idle.lock().waiting.pop_first() {
            counter!("keywatch_http_displaced_connections_total").increment(1);
            given_up.cancel();
        }
    }
}

/// One connection, until its last clone is dropped.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    idle: Arc<Mutex<Idle>>,
    given_up: CancellationToken,
    state: Mutex<State>,
    _place: Option<OwnedSemaphorePermit>,
}

struct State {
    requests: u32,
    /// The place among the connections that wait.
    waits_as: Option<u64>,
}

impl Connection {
    /// Completes when the connection must give way.
    pub async fn displaced(&self) {
        self.0.given_up.cancelled().await;
    }

    /// Marks a request, which ends when the result is dropped.
    pub fn begin_request(&self) -> InRequest {
        let mut state = self.0.state.lock();
        state.requests += 1;
        if let Some(number) = state.waits_as.take() {
            self.0.idle.lock().waiting.remove(&number);
        }
        InRequest(Arc::clone(&self.0))
    }
}

impl Inner {
    fn wait(&self) {
        let mut state = self.state.lock();
        let mut idle = self.idle.lock();
        let number = idle.next;
        idle.next += 1;
        idle.waiting.insert(number, self.given_up.clone());
        state.waits_as = Some(number);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(number) = self.state.get_mut().waits_as {
            self.idle.lock().waiting.remove(&number);
        }
    }
}

/// A request in progress, from its head to the end of the answer.
pub struct InRequest(Arc<Inner>);

impl Drop for InRequest {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.requests -= 1;
        let is_last = state.requests == 0;
        drop(state);
        if is_last {
            self.0.wait();
        }
    }
}

/// The body of an answer. The request ends with it.
pub struct Answer {
    pub body: Body,
    pub _request: InRequest,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn the_connection_that_waited_longest_gives_way() {
        let connections = Connections::new(2);
        let (first, second) = (connections.enter().await, connections.enter().await);
        drop(first.begin_request());
        // The second has waited since before the first's request ended.
        let next = connections.enter();
        let displaced = async {
            second.displaced().await;
            drop(second);
        };
        let (_third, ()) = tokio::join!(next, displaced);
        assert!(first.displaced().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_connection_with_a_request_keeps_its_place() {
        let connections = Connections::new(1);
        let only = connections.enter().await;
        let request = only.begin_request();
        assert!(connections.enter().now_or_never().is_none());
        assert!(only.displaced().now_or_never().is_none());
        drop(request);
        assert!(connections.enter().now_or_never().is_none(), "its place is not free yet");
        assert!(only.displaced().now_or_never().is_some());
        drop(only);
        assert!(connections.enter().now_or_never().is_some());
    }
}
