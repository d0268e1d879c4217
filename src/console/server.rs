//! Accepts connections within limits of number, size and time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{Console, routes, stream};

/// Open connections; further ones wait to be accepted.
const MOST_CONNECTIONS: usize = 256;
/// A request's head must arrive within this time, also on a connection that is kept open.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// The largest head.
const HEAD_BYTES: usize = 16 * 1024;
/// A connection whose reader takes nothing for this long is closed.
const STALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause after a failed accept, such as one without a free file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves the console until `shutdown` is cancelled, and then closes its connections.
///
/// # Errors
/// When the listener has no address.
pub async fn serve(
    listener: TcpListener,
    console: Arc<Console>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let port = listener.local_addr()?.port();
    let service = TowerToHyperService::new(routes::router(Arc::clone(&console), port));
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    connections.spawn(async move { stream::watch(&console.feed).await });
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (listener.accept().await, slot)
        };
        let Some((accepted, slot)) = shutdown.run_until_cancelled(accepted).await else {
            // Dropping the set ends its tasks.
            return Ok(());
        };
        let Ok((socket, _)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let service = service.clone();
        connections.spawn(async move {
            let _slot = slot;
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(HEAD_BYTES)
                .serve_connection(TokioIo::new(Stallable::new(socket)), service);
            if let Err(error) = connection.await {
                debug!(%error, "a connection to the console ended");
            }
        });
    }
}

/// A connection that fails when its reader takes nothing for [`STALL_TIMEOUT`], so that slow
/// readers do not hold connections for ever.
struct Stallable {
    socket: TcpStream,
    stalled: Pin<Box<Sleep>>,
    is_stalled: bool,
}

impl Stallable {
    fn new(socket: TcpStream) -> Self {
        Self { socket, stalled: Box::pin(sleep(STALL_TIMEOUT)), is_stalled: false }
    }

    /// Passes on the progress of a write, and fails after a long time without any.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.is_stalled = false;
            return written;
        }
        if !self.is_stalled {
            self.is_stalled = true;
            self.stalled.as_mut().reset(Instant::now() + STALL_TIMEOUT);
        }
        ready!(self.stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the reader takes nothing")))
    }
}

impl AsyncRead for Stallable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stallable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_dropped() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _reader = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut writer = Stallable::new(listener.accept().await.unwrap().0);
        let bytes = vec![0; 1 << 20];
        let error = loop {
            if let Err(error) = writer.write_all(&bytes).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
