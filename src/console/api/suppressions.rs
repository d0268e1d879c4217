//! `POST /v1/incidents/{id}/suppressions`: says what a suppression would have hidden, or stores it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{header, incidents};
use crate::access::Role;
use crate::casework::{self, NoSuppression, Preview, Wish};
use crate::console::Console;
use crate::console::answer::Failure;
use crate::console::visitor::Visitor;
use crate::event::EventTime;
use crate::http::Problem;
use crate::workflow::Scope;

/// What a program asks for. The scope is that of the incident: its detectors, for its key or address.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    until: EventTime,
    text: String,
    #[serde(default)]
    hides_critical: bool,
    /// Without it, nothing is stored.
    #[serde(default)]
    sure: bool,
}

pub async fn suppress(
    State(console): State<Arc<Console>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    headers: HeaderMap,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(wanted) = wanted.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    visitor.require(if wanted.hides_critical { Role::Admin } else { Role::Responder })?;
    let bad = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
    let who = visitor.name().unwrap_or_default().to_owned();
    let wish = Wish {
        id: Some(id.clone()),
        scope: Scope::default(),
        from: None,
        until: wanted.until,
        hides_critical: wanted.hides_critical,
        note: casework::comment(&wanted.text).map_err(bad)?,
        who: who.clone(),
    };
    let suppression = wish.suppression(&console.store).await;
    let mut suppression = suppression.map_err(|error| match error {
        NoSuppression::Unknown(_) => incidents::unknown(),
        NoSuppression::Store(error) => Failure::Store(error).into(),
        NoSuppression::Until => bad(format!("`until` {error}")),
        NoSuppression::Unbounded => bad("the incident names neither key nor address".to_owned()),
    })?;
    if let Some(key) = header(&headers, "idempotency-key")? {
        // The key of another wish makes another suppression: what is answered is what is stored.
        let (until, hides) = (suppression.until.as_micros(), suppression.hides_critical);
        let wish = format!("api/{who}/{id}/{key}/{until}/{hides}/{}", suppression.note);
        let digest = Sha256::digest(wish);
        suppression.id = format!("sup_{}", hex::encode(&digest[..12]));
    }
    let preview = Preview::of(&suppression, &console.store).await.map_err(Failure::Store)?;
    let body = Json(preview.as_json(&suppression, wanted.sure));
    if !wanted.sure {
        return Ok(body.into_response());
    }
    console.store.begin_suppression(&suppression).await.map_err(Failure::Store)?;
    Ok((StatusCode::CREATED, body).into_response())
}
