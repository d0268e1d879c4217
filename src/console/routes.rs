//! The addresses of the console.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::extract::rejection::FormRejection;
use axum::extract::{DefaultBodyLimit, Extension, Path, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::answer::{Failure, answer, carry_out};
use super::api::with_api;
use super::guard::{self, Gate};
use super::incidents::Filter;
use super::refusal::Refusal;
use super::visitor::Visitor;
use super::{Console, fleet, incident, incidents, key, login, overview, owner, policy, source};

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

/// A form is at most this large: a comment of 4,000 characters, each of them escaped.
const MOST_FORM_BYTES: usize = 64 * 1024;

pub fn router(console: Arc<Console>, gate: Gate) -> Router {
    let not_found = async |request: Request| {
        Refusal::new(StatusCode::NOT_FOUND, "There is no such page.").answering(&request)
    };
    let not_allowed = async |request: Request| {
        let sentence = "This address does not take that method.";
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, sentence).answering(&request)
    };
    with_api(Router::new())
        .route("/", get(overview_page))
        .route("/incidents", get(incidents_page))
        .route("/incidents/{id}", get(incident_page))
        .route("/incidents/acknowledge", post(acknowledge_incidents))
        .route("/incidents/{id}/act", post(act_on_incident))
        .route("/incidents/{id}/suppress", post(suppress_evidence))
        .route("/fleet", get(fleet_page))
        .route("/policy", get(policy_page))
        .route("/keys", get(keys_page))
        .route("/key", get(key_page))
        .route("/sources/{*source}", get(source_page))
        .route("/assets/console.css", get(|| asset("text/css; charset=utf-8", STYLE)))
        .route("/assets/console.js", get(|| asset("text/javascript; charset=utf-8", SCRIPT)))
        .route("/assets/icon.svg", get(|| asset("image/svg+xml", ICON)))
        .route("/login", get(login::form).post(login::login))
        .route("/logout", post(login::logout))
        .route("/was-it-you/{token}", get(owner::form).post(owner::answer))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .with_state(console)
        .layer(DefaultBodyLimit::max(MOST_FORM_BYTES))
        .layer(middleware::from_fn(within_time))
        .layer(middleware::from_fn_with_state(gate, guard::guard))
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
type Caller = Extension<Visitor>;

/// The address as it was asked for: what is remembered of a page is kept under it.
fn address(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |path| path.as_str())
}

async fn overview_page(State(console): Shared, Extension(visitor): Caller, uri: Uri) -> Response {
    answer(&console, &visitor, uri.path(), overview::page(&console)).await
}

async fn incidents_page(State(console): Shared, Extension(visitor): Caller, uri: Uri) -> Response {
    let page = async { incidents::page(&console, &visitor, query::<Filter>(&uri)?).await };
    answer(&console, &visitor, address(&uri), page).await
}

async fn incident_page(
    State(console): Shared,
    Extension(visitor): Caller,
    uri: Uri,
    Path(id): Path<String>,
) -> Response {
    let page = async { incident::page(&console, &visitor, &id, &query(&uri)?).await };
    answer(&console, &visitor, address(&uri), page).await
}

async fn act_on_incident(
    State(console): Shared,
    Extension(visitor): Caller,
    Path(id): Path<String>,
    form: Result<Form<incident::ActForm>, FormRejection>,
) -> Response {
    let Ok(Form(form)) = form else { return login::unreadable() };
    carry_out(&visitor, incident::act(&console, &visitor, &id, &form)).await
}

async fn acknowledge_incidents(
    State(console): Shared,
    Extension(visitor): Caller,
    form: Result<Form<HashMap<String, String>>, FormRejection>,
) -> Response {
    let Ok(Form(fields)) = form else { return login::unreadable() };
    carry_out(&visitor, incidents::acknowledge(&console, &visitor, &fields)).await
}

async fn suppress_evidence(
    State(console): Shared,
    Extension(visitor): Caller,
    Path(id): Path<String>,
    form: Result<Form<incident::SuppressForm>, FormRejection>,
) -> Response {
    let Ok(Form(form)) = form else { return login::unreadable() };
    carry_out(&visitor, incident::suppress(&console, &visitor, &id, &form)).await
}

async fn keys_page(State(console): Shared, Extension(visitor): Caller, uri: Uri) -> Response {
    answer(&console, &visitor, uri.path(), key::list(&console)).await
}

async fn fleet_page(State(console): Shared, Extension(visitor): Caller, uri: Uri) -> Response {
    answer(&console, &visitor, uri.path(), fleet::page(&console)).await
}

async fn policy_page(State(console): Shared, Extension(visitor): Caller, uri: Uri) -> Response {
    answer(&console, &visitor, uri.path(), policy::page(&console)).await
}

#[derive(Deserialize)]
struct Key {
    #[serde(default)]
    id: String,
}

async fn key_page(State(console): Shared, Extension(visitor): Caller, uri: Uri) -> Response {
    let page = async { key::page(&console, &query::<Key>(&uri)?.id).await };
    answer(&console, &visitor, address(&uri), page).await
}

/// The slash of a network may come as it is or encoded.
async fn source_page(
    State(console): Shared,
    Extension(visitor): Caller,
    uri: Uri,
    Path(text): Path<String>,
) -> Response {
    answer(&console, &visitor, uri.path(), source::page(&console, &text)).await
}

/// The values of the address; unknown names are ignored.
fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Failure> {
    let read = Query::try_from_uri(uri);
    read.map(|Query(values)| values)
        .map_err(|error| Failure::BadAddress(format!("The address cannot be read: {error}.")))
}
