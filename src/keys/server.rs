//! Serves the HTTP API of the key registry: `POST /v1/keys`, and `POST /v1/keys/{id}/events`.
//!
//! Whoever may post here can allow networks to a key and have it judged as revoked, so that a token
//! is always needed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::post;
use axum::{Json, Router};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::rows::Form;
use super::taking::{TakeError, Taking};
use crate::config::{Config, RegistryConfig};
use crate::decode::{DecodeError, KeyHasher};
use crate::event::EventTime;
use crate::http::listener::{self, ListenError};
use crate::http::server::Endpoint;
use crate::http::tls::{self, TlsError};
use crate::http::tokens::NotAHash;
use crate::http::{Access, LineError, Names, Problem, Tokens, body};
use crate::registry::{Entry, Import, Refused, Repeats, Row};
use crate::store::{Author, Store};

/// Each holds at most one body.
const MOST_CONNECTIONS: usize = 16;
const MAX_BODY_BYTES: usize = 4 << 20;
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Refused rows that an answer lists; it counts all of them.
const MOST_LISTED: usize = 100;

#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("registry.tokens: {0}")]
    Tokens(#[from] NotAHash),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The endpoint.
pub struct Desk {
    access: Access,
    hasher: KeyHasher,
    /// One request at a time: each compares with what is stored.
    taking: Mutex<Taking>,
    tls: Option<TlsAcceptor>,
}

/// # Errors
/// The pepper, a token or the certificate cannot be used.
pub fn open(config: &Config, address: SocketAddr) -> Result<Desk, DeskError> {
    let RegistryConfig { hosts, token, tokens, tls, .. } = &config.registry;
    let tls = tls::acceptor("registry.tls", tls)?;
    let names = Names::of(address, hosts, tls.is_some());
    Ok(Desk {
        access: Access::new(names, Tokens::new(token, tokens)?),
        hasher: KeyHasher::new(&config.decode)?,
        taking: Mutex::new(Taking::new(Arc::new(Store::new(&config.clickhouse)))),
        tls,
    })
}

/// # Errors
/// The address cannot be bound.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    listener::bind("registry.listen", address).await
}

/// Answers until the process ends.
pub async fn serve(listener: TcpListener, mut desk: Desk) {
    let routes =
        Router::new().route("/v1/keys", post(register)).route("/v1/keys/{id}/events", post(record));
    let router = listener::with_refusals(
        routes,
        "this server offers POST /v1/keys and POST /v1/keys/{id}/events",
        "this path accepts POST alone",
    );
    let tls = desk.tls.take();
    let router = router.with_state(Arc::new(desk));
    let (most_connections, grace) = (MOST_CONNECTIONS, Duration::ZERO);
    let endpoint = Endpoint { listener, tls, router, most_connections, grace };
    endpoint.serve(CancellationToken::new()).await;
}

/// What became of the rows of a request.
#[derive(Debug, Serialize)]
struct Answer {
    added: usize,
    changed: usize,
    unchanged: usize,
    /// Events that were told.
    recorded: usize,
    refused: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<LineError>,
}

async fn register(
    State(desk): State<Arc<Desk>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Answer>, Problem> {
    let who = desk.access.check(&uri, &headers)?;
    let rows = desk.rows(&headers, body).await?;
    let rows: Vec<Entry> = rows.into_iter().map(only_key).collect();
    desk.take(who, &rows, Repeats::Refused).await
}

async fn record(
    State(desk): State<Arc<Desk>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Answer>, Problem> {
    let who = desk.access.check(&uri, &headers)?;
    let rows = desk.events(&id, &headers, body).await?;
    desk.take(who, &rows, Repeats::Follow).await
}

/// An event becomes a refusal.
fn only_key(entry: Entry) -> Entry {
    let Entry { number, row } = entry;
    let row = row.and_then(|row| match row {
        Row::Key(_) => Ok(row),
        Row::Event(_) => Err("this path does not take an event".to_owned()),
    });
    Entry { number, row }
}

impl Desk {
    async fn text(&self, body: Body) -> Result<String, Problem> {
        let bytes = body::read(body, MAX_BODY_BYTES, BODY_TIMEOUT, |_| Ok(())).await?;
        String::from_utf8(bytes)
            .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the body is not UTF-8"))
    }

    async fn rows(&self, headers: &HeaderMap, body: Body) -> Result<Vec<Entry>, Problem> {
        let form = Form::of(headers)?;
        form.rows(&self.text(body).await?, &self.hasher, EventTime::now())
    }

    /// The events of one key. Their time is that of the request if they name none.
    async fn events(
        &self,
        id: &str,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Vec<Entry>, Problem> {
        let form = Form::of(headers)?;
        form.events_of(id, &self.text(body).await?, &self.hasher, EventTime::now())
    }

    async fn take(
        &self,
        who: &str,
        rows: &[Entry],
        repeats: Repeats,
    ) -> Result<Json<Answer>, Problem> {
        let author = Author { who, origin: "api" };
        let import = self.taking.lock().await.take(rows, repeats, author).await;
        let import = import.map_err(|error| unavailable(&error))?;
        let answer = Answer::of(import);
        let Answer { added, changed, recorded, refused, .. } = answer;
        info!(who, added, changed, recorded, refused, "rows for the key registry");
        if refused == rows.len() && refused > 0 {
            let detail = "no row was taken; `errors` says why, by line";
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
            return Err(problem.with_errors(answer.errors));
        }
        Ok(Json(answer))
    }
}

impl Answer {
    fn of(import: Import) -> Self {
        let Import { refused, added, changed, unchanged, recorded, .. } = import;
        let number = refused.len();
        let error = |Refused { number: line, reason: detail }| LineError { line, detail };
        let errors = refused.into_iter().take(MOST_LISTED).map(error).collect();
        Self { added, changed, unchanged, recorded, refused: number, errors }
    }
}

fn unavailable(error: &TakeError) -> Problem {
    warn!(%error, "rows for the key registry could not be stored");
    let detail = "the rows could not be stored, or it is unknown whether they are; send them again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_header(RETRY_AFTER, "5")
}
