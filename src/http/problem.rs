//! Formats errors of the HTTP endpoints as RFC 9457 requires: `application/problem+json`.

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An error with a `status` for programs and a `detail` for people.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    /// Boxed, because results with a problem are returned everywhere.
    header: Option<Box<(HeaderName, HeaderValue)>>,
    errors: Vec<LineError>,
}

/// What is wrong with one line of a request, or with one element.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LineError {
    pub line: u64,
    pub detail: String,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [LineError],
}

impl Problem {
    /// Creates a problem. `detail` states what was wrong with this request and how to correct it.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), header: None, errors: Vec::new() }
    }

    /// Adds a header that the status requires, such as `Retry-After`.
    pub fn with_header(self, name: HeaderName, value: &'static str) -> Self {
        Self { header: Some(Box::new((name, HeaderValue::from_static(value)))), ..self }
    }

    /// Adds a member `errors` (RFC 9457, section 3.2).
    pub fn with_errors(self, errors: Vec<LineError>) -> Self {
        Self { errors, ..self }
    }

    #[cfg(test)]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    #[cfg(test)]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &self.detail,
            errors: &self.errors,
        };
        let mut response = (self.status, Json(body)).into_response();
        let content_type = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response.headers_mut().extend(self.header.map(|header| *header));
        response
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::body::to_bytes;
    use axum::http::header::RETRY_AFTER;
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test]
    async fn has_the_members_and_the_media_type_of_rfc_9457() {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the queue is full")
            .with_header(RETRY_AFTER, "1");
        let response = problem.into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        let body = to_bytes(response.into_body(), 1000).await.unwrap();
        let expected = json!({
            "type": "about:blank",
            "title": "Service Unavailable",
            "status": 503,
            "detail": "the queue is full",
        });
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
    }
}
