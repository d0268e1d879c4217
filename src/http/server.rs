//! Accepts connections within limits of number, size and time.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::connections::{Answer, Connection, Connections};
use super::stallable::Stallable;

/// A request's head must arrive within this time, also on a connection that is kept open.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// The largest head.
const HEAD_BYTES: usize = 16 * 1024;
/// Pause after a failed accept, such as one without a free file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The other end of the connection, as an extension of each request. Behind a proxy it is the proxy.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// An endpoint: where it listens, how it is encrypted, what it answers.
pub struct Endpoint {
    pub listener: TcpListener,
    pub tls: Option<TlsAcceptor>,
    pub router: Router,
    /// Open connections. Their sum over all endpoints stays below the descriptors of a process.
    pub most_connections: usize,
    /// At the end, requests in progress may take this long.
    pub grace: Duration,
}

impl Endpoint {
    /// Serves until `shutdown` is cancelled, and then closes the connections.
    pub async fn serve(self, shutdown: CancellationToken) {
        let Self { listener, tls, router, most_connections, grace } = self;
        let connections = Connections::new(most_connections);
        let mut tasks = JoinSet::new();
        let accepting = async {
            loop {
                while tasks.try_join_next().is_some() {}
                let Ok((socket, address)) = listener.accept().await else {
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                let connection = (connections.enter().await, Peer(address.ip()));
                let (tls, router) = (tls.clone(), router.clone());
                tasks.spawn(drive(socket, tls, router, connection, shutdown.clone()));
            }
        };
        shutdown.run_until_cancelled(accepting).await;
        drop(listener);
        connections.close_idle();
        // Dropping the set ends the tasks that are left.
        let _ = timeout(grace, async { while tasks.join_next().await.is_some() {} }).await;
    }
}

async fn drive(
    socket: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    (connection, peer): (Connection, Peer),
    shutdown: CancellationToken,
) {
    let socket = Stallable::new(socket);
    let driven = async {
        match tls {
            None => answer(socket, router, (&connection, peer), shutdown).await,
            Some(tls) => match timeout(HEAD_TIMEOUT, tls.accept(socket)).await {
                Ok(Ok(stream)) => answer(stream, router, (&connection, peer), shutdown).await,
                Ok(Err(error)) => debug!(%error, "a client could not agree on encryption"),
                Err(_) => debug!("a client did not agree on encryption in time"),
            },
        }
    };
    tokio::select! {
        () = driven => {}
        () = connection.displaced() => debug!("a connection without a request gave way"),
    }
}

async fn answer<I>(
    io: I,
    router: Router,
    (connection, peer): (&Connection, Peer),
    shutdown: CancellationToken,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router);
    let tracked = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let in_request = connection.begin_request();
        let response = service.call(request);
        async move {
            let response: Response = response.await?;
            let track = |body| Body::new(Answer { body, _request: in_request });
            Ok::<_, Infallible>(response.map(track))
        }
    });
    let mut served = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(io), tracked)
    );
    let outcome = tokio::select! {
        outcome = served.as_mut() => outcome,
        () = shutdown.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = outcome {
        debug!(%error, "a connection ended");
    }
}
