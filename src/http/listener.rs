//! Binds the addresses of endpoints and answers requests that no route accepts.

use std::net::SocketAddr;

use axum::Router;
use axum::http::StatusCode;
use tokio::net::TcpListener;

use super::Problem;

/// The address cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("{key} {address}: {reason}; free the port or configure another")]
pub struct ListenError {
    /// The setting that contains the address.
    pub key: &'static str,
    pub address: SocketAddr,
    pub reason: std::io::Error,
}

/// Binds the address of the setting `key`. Binding is separate from serving, so that a taken port
/// is reported at the start.
///
/// # Errors
/// Fails when the address cannot be bound.
pub async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|reason| ListenError { key, address, reason })
}

/// Answers other paths and other methods with these sentences.
pub fn with_refusals<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    not_found: &'static str,
    method_not_allowed: &'static str,
) -> Router<S> {
    let refuse = |status, detail| move || async move { Problem::new(status, detail) };
    router
        .fallback(refuse(StatusCode::NOT_FOUND, not_found))
        .method_not_allowed_fallback(refuse(StatusCode::METHOD_NOT_ALLOWED, method_not_allowed))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named_with_its_setting() {
        let taken = bind("a.listen", SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind("b.listen", address).await.err().unwrap().to_string();
        assert!(error.starts_with(&format!("b.listen {address}: ")), "{error}");
    }
}
