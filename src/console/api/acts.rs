//! `POST /v1/incidents/{id}/acts`: one act on one incident.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{header, incidents};
use crate::access::Role;
use crate::alert::CloseReason;
use crate::casework::{self, Order, Outcome, Reading, Told, Version, act_once};
use crate::console::Console;
use crate::console::answer::Failure;
use crate::console::visitor::Visitor;
use crate::http::Problem;
use crate::workflow::{Kind, Origin};

/// What a program asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    kind: Kind,
    reason: Option<CloseReason>,
    assignee: Option<String>,
    text: Option<String>,
}

/// Carries it out once for each `Idempotency-Key`, if the incident is still as `If-Match` names it.
pub async fn act(
    State(console): State<Arc<Console>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    headers: HeaderMap,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<Response, Problem> {
    visitor.require(Role::Responder)?;
    let Json(wanted) = wanted.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let order = wanted.order(&console, &visitor)?;
    let (reading, act_id) = (reading(&headers)?, act_id(&headers, &order.who, &id)?);
    let outcome = act_once(&order, &console.store, &id, &reading, act_id).await;
    match outcome.map_err(Failure::Store)? {
        Outcome::Unknown => Err(incidents::unknown()),
        Outcome::Moved(case) => {
            let detail = format!(
                "the incident has changed since; its version is \"{}\" now, and nothing was stored",
                case.version()
            );
            Err(Problem::new(StatusCode::PRECONDITION_FAILED, detail))
        }
        Outcome::Taken => {
            let detail = "this Idempotency-Key was used for another act on this incident";
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
        }
        Outcome::Done(told) => {
            console.known.outdate();
            answer(&told, &order)
        }
    }
}

impl Wanted {
    fn order(self, console: &Console, visitor: &Visitor) -> Result<Order, Problem> {
        let kind = self.kind;
        let bad = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
        if !kind.is_of_responders() {
            return Err(
                bad("`kind`: only Keywatch asks owners, and only owners answer".to_owned()),
            );
        }
        let text = self.text.filter(|text| kind == Kind::Comment || !text.is_empty());
        let text = text.map(|text| casework::comment(&text)).transpose().map_err(&bad)?;
        let assignee = self.assignee.map(|name| casework::person(&name)).transpose();
        let assignee = assignee.map_err(&bad)?;
        let reason_fits = self.reason.map_or(!kind.closes(), |reason| kind.fits(reason));
        if !reason_fits {
            let detail = "`reason` must be theft or misuse_by_owner to confirm; test, false_travel, \
                false_deploy, false_other or duplicate to dismiss; and absent otherwise";
            return Err(bad(detail.to_owned()));
        }
        if assignee.is_some() != (kind == Kind::Assign) {
            return Err(bad("`assignee` belongs to the kind assign, and to no other".to_owned()));
        }
        if kind == Kind::Comment && text.is_none() {
            return Err(bad("`text` is the comment".to_owned()));
        }
        Ok(Order {
            kind,
            reason: self.reason,
            assignee,
            text: text.unwrap_or_default(),
            quiet_seconds: if kind.closes() { console.quiet_seconds } else { 0 },
            who: visitor.name().unwrap_or_default().to_owned(),
            origin: Origin::Api,
        })
    }
}

fn reading(headers: &HeaderMap) -> Result<Reading, Problem> {
    let Some(text) = header(headers, "if-match")? else {
        let detail = "send the ETag of the incident as If-Match, or `*` to act whatever others did";
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, detail));
    };
    if text == "*" {
        return Ok(Reading::Latest);
    }
    let tag = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    // An ETag that is not one of ours matches nothing.
    Ok(Reading::Exactly(tag.and_then(Version::parse).unwrap_or_default()))
}

/// The same key of the same account on the same incident is the same act.
fn act_id(headers: &HeaderMap, who: &str, incident: &str) -> Result<String, Problem> {
    let key = header(headers, "idempotency-key")?;
    let Some(key) = key else { return Ok(format!("act_{:032x}", rand::random::<u128>())) };
    let mut hash = Sha256::new();
    for part in ["api", who, incident, key] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    Ok(format!("act_{}", hex::encode(&hash.finalize()[..16])))
}

fn answer(told: &Told, order: &Order) -> Result<Response, Problem> {
    let sentence = told.sentence(order);
    if let Some(obstacle) = &told.obstacle {
        let detail = match casework::remedy(obstacle) {
            "" => sentence,
            remedy => format!("{sentence}; {remedy}"),
        };
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    let body = told.as_json(order, &sentence);
    let mut response = incidents::versioned(StatusCode::OK, &told.version(), body);
    if told.is_repeated {
        let name = HeaderName::from_static("idempotency-replayed");
        response.headers_mut().insert(name, HeaderValue::from_static("true"));
    }
    Ok(response)
}
