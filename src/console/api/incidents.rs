//! `GET /v1/incidents` and `GET /v1/incidents/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::casework::{self, Version};
use crate::console::Console;
use crate::console::answer::Failure;
use crate::console::incidents::{About, Among, Choice, Filter, Incident, PAGE, load};
use crate::http::Problem;

const MOST: usize = 500;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Limit {
    limit: Option<usize>,
}

/// One page of incidents. `next` is the cursor of the page after it.
pub async fn list(State(console): State<Arc<Console>>, uri: Uri) -> Result<Json<Value>, Problem> {
    let limit: Limit = query(&uri)?;
    let limit = limit.limit.unwrap_or(PAGE);
    if !(1..=MOST).contains(&limit) {
        let detail = format!("`limit` must be 1 to {MOST}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    let choice: Choice = query::<Filter>(&uri)?.checked()?;
    let incidents =
        load(&console.store, &choice, Among::All, limit).await.map_err(Failure::Store)?;
    let next = incidents.last().filter(|_| incidents.len() == limit);
    Ok(Json(json!({
        "incidents": incidents.iter().map(as_json).collect::<Vec<_>>(),
        "matching": incidents.first().map_or(0, |incident| incident.matching),
        "next": next.map(|incident| incident.cursor().text()),
    })))
}

fn as_json(incident: &Incident) -> Value {
    let (key, source) = match incident.about() {
        About::Key(key) => (Some(key), None),
        About::Source(source) => (None, Some(source)),
        About::Monitor => (None, None),
    };
    let named = |text: &String| (!text.is_empty()).then(|| text.clone());
    json!({
        "id": incident.id, "key_id": key, "source_ip": source, "severity": incident.severity,
        "risk": incident.risk, "action": incident.action, "dry_run": incident.dry_run,
        "state": incident.state, "close_reason": named(&incident.close_reason),
        "assignee": named(&incident.assignee),
        "detectors": incident.detectors().collect::<Vec<_>>(), "title": incident.title,
        "last_event_time": incident.last_event(),
    })
}

/// One incident: its state, every revision, and what people did. `ETag` is its version.
pub async fn one(
    State(console): State<Arc<Console>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let case = casework::load(&console.store, &[&id]).await.map_err(Failure::Store)?.remove(&id);
    let case = case.ok_or_else(unknown)?;
    Ok(versioned(StatusCode::OK, &case.version(), case.as_json()))
}

pub fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no incident has this id")
}

/// An answer with its version as `ETag`.
pub fn versioned(status: StatusCode, version: &Version, body: Value) -> Response {
    let mut response = (status, Json(body)).into_response();
    let tag = HeaderValue::from_str(&format!("\"{version}\"")).ok();
    response.headers_mut().extend(tag.map(|tag| (header::ETAG, tag)));
    response
}

fn query<T: for<'a> Deserialize<'a>>(uri: &Uri) -> Result<T, Problem> {
    let read = Query::try_from_uri(uri);
    read.map(|Query(values)| values).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, format!("the address cannot be read: {error}"))
    })
}
