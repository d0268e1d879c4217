//! Serves `POST /v1/leaks` in the form of GitHub's secret scanning partner programme.
//!
//! Only who has a listed private key can report, so a web page in a browser of this machine cannot.
//! A report names a key by the raw key alone: whoever knows no more than a public id can report
//! nothing about it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::report::{Finding, Intake, IntakeError};
use super::signature::{KeysError, PublicKeys};
use crate::config::{Config, LeaksConfig};
use crate::event::EventTime;
use crate::http::listener::{self, ListenError};
use crate::http::server::Endpoint;
use crate::http::{Problem, body};
use crate::store::{Author, StoreError};
use crate::watched::Watched;

/// Each holds at most one body.
const MOST_CONNECTIONS: usize = 32;
const MAX_BODY_BYTES: usize = 1 << 20;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// GitHub sends a few tokens at a time.
const MAX_TOKENS: usize = 1_000;
const MAX_TEXT_BYTES: usize = 4_096;

const IDENTIFIER: &str = "github-public-key-identifier";
const SIGNATURE: &str = "github-public-key-signature";

#[derive(Debug, thiserror::Error)]
pub enum LeaksError {
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Intake(#[from] IntakeError),
}

/// The endpoint.
pub struct Leaks {
    keys: parking_lot::Mutex<Watched<PublicKeys, KeysError>>,
    /// One report at a time: each compares with what is stored.
    intake: Mutex<Intake>,
}

/// # Errors
/// The public keys or the registry file cannot be read.
pub fn open(config: &Config, leaks: &LeaksConfig) -> Result<Leaks, LeaksError> {
    let keys = Watched::open(&leaks.public_keys_file, PublicKeys::read)?;
    Ok(Leaks { keys: parking_lot::Mutex::new(keys), intake: Mutex::new(Intake::open(config)?) })
}

/// # Errors
/// The address cannot be bound.
pub async fn bind(leaks: &LeaksConfig) -> Result<TcpListener, ListenError> {
    listener::bind("leaks.listen", leaks.listen).await
}

/// Answers until the process ends.
pub async fn serve(listener: TcpListener, leaks: Leaks) {
    let routes = Router::new().route("/v1/leaks", post(receive));
    let router = listener::with_refusals(
        routes,
        "this server offers POST /v1/leaks",
        "this path accepts POST alone",
    );
    let router = router.with_state(Arc::new(leaks));
    let (most_connections, grace) = (MOST_CONNECTIONS, Duration::ZERO);
    let endpoint = Endpoint { listener, tls: None, router, most_connections, grace };
    endpoint.serve(CancellationToken::new()).await;
}

/// One match of a token that GitHub found.
#[derive(Deserialize)]
struct Match {
    token: String,
    #[serde(default, rename = "type")]
    token_type: String,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    source: Option<String>,
}

/// The answer for one token. It names the token by its hash, so that no copy of the answer holds it.
#[derive(Debug, Serialize)]
struct Label {
    token_hash: String,
    token_type: String,
    label: &'static str,
}

impl Leaks {
    fn authorize(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
        let (identifier, signature) = (one(headers, IDENTIFIER), one(headers, SIGNATURE));
        let (Some(identifier), Some(signature)) = (identifier, signature) else {
            let detail = "send Github-Public-Key-Identifier and Github-Public-Key-Signature";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, detail));
        };
        let mut keys = self.keys.lock();
        if let Err(error) = keys.reload_if_replaced() {
            warn!(%error, "keeping the public keys in use");
        }
        if keys.value.verify(identifier, signature, body) {
            return Ok(());
        }
        let detail = "the signature is not one of this body by a key of leaks.public_keys_file";
        Err(Problem::new(StatusCode::UNAUTHORIZED, detail))
    }
}

/// The value of a header that occurs once.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

async fn receive(
    State(leaks): State<Arc<Leaks>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Vec<Label>>, Problem> {
    let bytes = body::read(body, MAX_BODY_BYTES, BODY_TIMEOUT, |_| Ok(())).await?;
    leaks.authorize(&headers, &bytes)?;
    let matches = matches(&bytes)?;
    let mut intake = leaks.intake.lock().await;
    let now = EventTime::now();
    let findings: Result<Vec<Finding>, _> =
        matches.iter().map(|it| finding(&intake, it, now)).collect();
    let findings = findings
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let author = Author { who: "github", origin: "api" };
    let keys = intake.take(&findings, author).await.map_err(|error| unavailable(&error))?;
    let found = keys.iter().flatten().count();
    info!(tokens = matches.len(), found, "a report of leaked keys");
    let labels = matches.iter().zip(&keys).map(|(it, key)| label(it, key.is_some()));
    Ok(Json(labels.collect()))
}

/// The reason of an error is not passed on: it may repeat a part of a token.
fn matches(bytes: &[u8]) -> Result<Vec<Match>, Problem> {
    let matches: Vec<Match> = serde_json::from_slice(bytes).map_err(|_| {
        let detail = "expected a JSON array of objects with token, type, url and source";
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })?;
    if matches.len() > MAX_TOKENS {
        let detail = format!("{} tokens, expected at most {MAX_TOKENS}", matches.len());
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    Ok(matches)
}

fn finding(intake: &Intake, it: &Match, now: EventTime) -> Result<Finding, IntakeError> {
    let text = |text: &Option<String>| {
        let text = text.as_deref().unwrap_or_default();
        text.chars().filter(|c| !c.is_control()).take(MAX_TEXT_BYTES / 4).collect::<String>()
    };
    // A token in its own address would be stored with it.
    let url = text(&it.url).replace(&it.token, "***");
    let place = text(&it.source);
    Ok(Finding {
        named: intake.name_of(&it.token)?,
        since: now,
        source: "github".to_owned(),
        url,
        text: if place.is_empty() { String::new() } else { format!("found in: {place}") },
    })
}

fn label(it: &Match, is_known: bool) -> Label {
    Label {
        token_hash: STANDARD.encode(Sha256::digest(&it.token)),
        token_type: it.token_type.clone(),
        label: if is_known { "true_positive" } else { "false_positive" },
    }
}

fn unavailable(error: &StoreError) -> Problem {
    warn!(%error, "a report of leaked keys could not be stored");
    let detail = "the report could not be stored; send it again later";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_header(RETRY_AFTER, "30")
}
