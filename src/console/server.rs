//! Serves the console.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::guard::Gate;
use super::{Console, routes, stream};
use crate::http::Names;
use crate::http::server::Endpoint;

const MOST_CONNECTIONS: usize = 256;

/// Serves the console until `shutdown` is cancelled, and then closes its connections.
///
/// # Errors
/// When the listener has no address.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    console: Arc<Console>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let url = console.url.as_deref();
    let gate = Gate {
        names: Names::of_loopback(address.port(), tls.is_some()).with_url(url),
        is_open_without_accounts: address.ip().is_loopback() && url.is_none(),
        console: Arc::clone(&console),
    };
    let endpoint = Endpoint {
        listener,
        tls,
        router: routes::router(Arc::clone(&console), gate),
        most_connections: MOST_CONNECTIONS,
        // The stream of alerts would never end.
        grace: Duration::ZERO,
    };
    tokio::select! {
        () = endpoint.serve(shutdown) => Ok(()),
        () = stream::watch(&console.feed) => Ok(()),
    }
}
