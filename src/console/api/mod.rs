//! The API for programs: the same operations, words and refusals as the pages and the commands.
//!
//! `openapi.json` describes it; a test compares the two.

mod acts;
mod incidents;
mod suppressions;

use std::sync::Arc;

use axum::Router;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};

use super::answer::Failure;
use super::{Console, stream};
use crate::http::Problem;

const OPENAPI: &str = include_str!("openapi.json");

type Route = (&'static str, &'static str, MethodRouter<Arc<Console>>);

fn routes() -> [Route; 6] {
    [
        ("get", "/v1/openapi.json", get(openapi)),
        ("get", "/v1/alerts/stream", get(stream::alerts)),
        ("get", "/v1/incidents", get(incidents::list)),
        ("get", "/v1/incidents/{id}", get(incidents::one)),
        ("post", "/v1/incidents/{id}/acts", post(acts::act)),
        ("post", "/v1/incidents/{id}/suppressions", post(suppressions::suppress)),
    ]
}

/// The router with the addresses of the API.
pub fn with_api(router: Router<Arc<Console>>) -> Router<Arc<Console>> {
    routes().into_iter().fold(router, |router, (_, path, handler)| router.route(path, handler))
}

async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], OPENAPI)
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let unavailable = |detail| {
            Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_header(RETRY_AFTER, "2")
        };
        match failure {
            Failure::NotFound(detail) => Self::new(StatusCode::NOT_FOUND, detail),
            Failure::Elsewhere(address) => {
                Self::new(StatusCode::NOT_FOUND, format!("look at {address}"))
            }
            Failure::BadAddress(detail) => Self::new(StatusCode::BAD_REQUEST, detail),
            Failure::Forbidden(detail) => Self::new(StatusCode::FORBIDDEN, detail),
            Failure::TooSlow => unavailable("ClickHouse took too long to answer".to_owned()),
            Failure::Store(error) => unavailable(error.to_string()),
        }
    }
}

/// The value of a header that may occur once.
///
/// # Errors
/// 400 for several values, and for one that is not plain text of at most 255 characters.
fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().map(str::trim);
    let text = text.filter(|text| (1..=255).contains(&text.len()) && values.next().is_none());
    let problem = || {
        let detail = format!("{name} must be one value of 1 to 255 plain characters");
        Problem::new(StatusCode::BAD_REQUEST, detail)
    };
    text.map(Some).ok_or_else(problem)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_description_names_every_route_and_no_other() {
        let described: Value = serde_json::from_str(OPENAPI).unwrap();
        let paths = described["paths"].as_object().unwrap();
        let described: BTreeSet<(&str, &str)> = paths
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
                methods.map(move |method| (method.as_str(), path.as_str()))
            })
            .collect();
        let routes = routes();
        let routed: BTreeSet<_> = routes.iter().map(|(method, path, _)| (*method, *path)).collect();
        assert_eq!(described, routed);
    }

    #[test]
    fn every_reference_of_the_description_exists() {
        let described: Value = serde_json::from_str(OPENAPI).unwrap();
        for part in OPENAPI.split("\"$ref\": \"#").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(described.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
