//! Answers that are not the page that was asked for: a problem document for machines (RFC 9457), a
//! plain page for people.

use axum::extract::Request;
use axum::http::header::{ACCEPT, ALLOW, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use maud::html;

use super::frame::{self, Page};
use super::visitor::Visitor;
use crate::http::Problem;

/// A status with a sentence that says what was wrong and what to do.
#[derive(Clone, Debug)]
pub struct Refusal {
    status: StatusCode,
    sentence: String,
    is_for_people: bool,
}

impl Refusal {
    /// A refusal for machines; [`Self::answering`] makes it one for people where they asked.
    pub fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into(), is_for_people: false }
    }

    #[cfg(test)]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn answering(self, request: &Request) -> Self {
        self.for_people(wants_page(request.uri().path(), request.headers()))
    }

    pub fn for_people(self, is_for_people: bool) -> Self {
        Self { is_for_people, ..self }
    }

    /// The headers that the status requires.
    fn header(&self) -> Option<(HeaderName, &'static str)> {
        match self.status {
            StatusCode::METHOD_NOT_ALLOWED => Some((ALLOW, "GET, HEAD, POST")),
            StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, "2")),
            _ => None,
        }
    }
}

/// Whether the address is one of the API, for programs.
pub fn is_api(path: &str) -> bool {
    path == "/v1" || path.starts_with("/v1/")
}

/// Whether the answer is read by a person: all but `/v1` is, if the client takes HTML.
pub fn wants_page(path: &str, headers: &HeaderMap) -> bool {
    let accepts = |value: &str| value.contains("text/html");
    !is_api(path) && headers.get(ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(accepts)
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let header = self.header();
        if !self.is_for_people {
            let problem = Problem::new(self.status, self.sentence);
            return match header {
                Some((name, value)) => problem.with_header(name, value).into_response(),
                None => problem.into_response(),
            };
        }
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = html! {
            section.card.message {
                p.code { (self.status.as_u16()) }
                h1 { (title) }
                p { (self.sentence) }
                p { a.button href="/" { "To the overview" } }
            }
        };
        let page = Page { title: title.to_owned(), body: body.into_string(), ..Page::default() };
        let mut response =
            (self.status, Html(frame::document(&page, None, &Visitor::default()))).into_response();
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, axum::http::HeaderValue::from_static(value));
        }
        response
    }
}
