//! The addresses of the console.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::answer::{Failure, answer};
use super::guard;
use super::incidents::Filter;
use super::refusal::Refusal;
use super::{Console, incident, incidents, key, overview, stream};
use crate::http::Names;

/// The head of every answer is sent within this time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

const STYLE: &str = include_str!("assets/console.css");
const SCRIPT: &str = include_str!("assets/console.js");
const ICON: &str = include_str!("assets/icon.svg");

/// Changes with the content, so that a browser keeps each version for ever.
pub static VERSION: LazyLock<String> = LazyLock::new(|| {
    use sha2::{Digest, Sha256};
    let hash = Sha256::new().chain_update(STYLE).chain_update(SCRIPT).chain_update(ICON).finalize();
    hex::encode(&hash[..6])
});

pub fn router(console: Arc<Console>, names: Names) -> Router {
    let not_found = async |request: Request| {
        Refusal::new(StatusCode::NOT_FOUND, "There is no such page.").answering(&request)
    };
    Router::new()
        .route("/", get(overview_page))
        .route("/incidents", get(incidents_page))
        .route("/incidents/{id}", get(incident_page))
        .route("/keys", get(keys_page))
        .route("/key", get(key_page))
        .route("/v1/alerts/stream", get(stream::alerts))
        .route("/assets/console.css", get(|| asset("text/css; charset=utf-8", STYLE)))
        .route("/assets/console.js", get(|| asset("text/javascript; charset=utf-8", SCRIPT)))
        .route("/assets/icon.svg", get(|| asset("image/svg+xml", ICON)))
        .fallback(not_found)
        .with_state(console)
        .layer(middleware::from_fn(within_time))
        .layer(middleware::from_fn_with_state(names, guard::guard))
}

async fn within_time(request: Request, next: Next) -> Response {
    let is_for_people = super::refusal::wants_page(request.uri().path(), request.headers());
    match timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let sentence = "This took too long. Try again, or ask for less.";
            let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, sentence);
            refusal.for_people(is_for_people).into_response()
        }
    }
}

async fn asset(content_type: &'static str, content: &'static str) -> impl IntoResponse {
    let lasting = "public, max-age=31536000, immutable";
    ([(CONTENT_TYPE, content_type), (CACHE_CONTROL, lasting)], content)
}

type Shared = State<Arc<Console>>;

/// The address as it was asked for: what is remembered of a page is kept under it.
fn address(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |path| path.as_str())
}

async fn overview_page(State(console): Shared, uri: Uri) -> Response {
    answer(&console, uri.path(), overview::page(&console)).await
}

async fn incidents_page(State(console): Shared, uri: Uri) -> Response {
    let page = async { incidents::page(&console, query::<Filter>(&uri)?).await };
    answer(&console, address(&uri), page).await
}

async fn incident_page(State(console): Shared, uri: Uri, Path(id): Path<String>) -> Response {
    answer(&console, uri.path(), incident::page(&console, &id)).await
}

async fn keys_page(State(console): Shared, uri: Uri) -> Response {
    answer(&console, uri.path(), key::list(&console)).await
}

#[derive(Deserialize)]
struct Key {
    #[serde(default)]
    id: String,
}

async fn key_page(State(console): Shared, uri: Uri) -> Response {
    let page = async { key::page(&console, &query::<Key>(&uri)?.id).await };
    answer(&console, address(&uri), page).await
}

/// The values of the address; unknown names are ignored.
fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Failure> {
    let read = Query::try_from_uri(uri);
    read.map(|Query(values)| values)
        .map_err(|error| Failure::BadAddress(format!("The address cannot be read: {error}.")))
}
