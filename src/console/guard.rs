//! Decides which requests are answered, finds out who they come from, and adds the headers that
//! confine what a page can do.
//!
//! ```text
//! host and origin -> a form of our own? -> cookie or token -> an account? -> the page
//! ```
//!
//! As long as nobody has an account, whoever reaches loopback may read, and nobody may change
//! anything.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, html};

use super::refusal::{Refusal, is_api, wants_page};
use super::visitor::{self, Visitor};
use super::{Console, answer, login, owner};
use crate::access::{Unknown, Visit};
use crate::http::Names;

/// What a request must pass.
#[derive(Clone)]
pub struct Gate {
    pub console: Arc<Console>,
    pub names: Names,
    /// Whether pages may be read while nobody has an account: on loopback, and without a name for
    /// others.
    pub is_open_without_accounts: bool,
}

/// No script, style or connection but the console's own; nobody may frame a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Returns the reason for which a request is not answered, whoever sends it.
fn refuse(names: &Names, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Refusal> {
    let is_post = method == Method::POST;
    if !is_post && method != Method::GET && method != Method::HEAD {
        let sentence = "The console answers GET, HEAD and POST.";
        return Some(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, sentence));
    }
    if !names.are_named(uri, headers) {
        let sentence = format!("Open the console as {}/.", names.first());
        return Some(Refusal::new(StatusCode::MISDIRECTED_REQUEST, sentence));
    }
    if names.is_foreign(headers) {
        let sentence = "Another site asked for this. Open the console by its own address.";
        return Some(Refusal::new(StatusCode::FORBIDDEN, sentence));
    }
    // A program has a token, which no browser sends by itself.
    if is_post && !is_api(uri.path()) && !names.is_own_form(headers) {
        let sentence = "Only a page of the console can send this. Programs use the API under /v1.";
        return Some(Refusal::new(StatusCode::FORBIDDEN, sentence));
    }
    None
}

/// Turns a request away, or passes it on with its visitor; confines the answer.
pub async fn guard(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (mut head, body) = request.into_parts();
    let mut response = match gate.admit(&head).await {
        Ok(visitor) => {
            head.extensions.insert(visitor);
            next.run(Request::from_parts(head, body)).await
        }
        Err(turned_away) => *turned_away,
    };
    confine(response.headers_mut());
    response
}

impl Gate {
    async fn admit(&self, head: &Parts) -> Result<Visitor, Box<Response>> {
        let (uri, headers) = (&head.uri, &head.headers);
        if let Some(refusal) = refuse(&self.names, &head.method, uri, headers) {
            return Err(Box::new(refusal.for_people(is_read(head)).into_response()));
        }
        let is_encrypted = self.names.is_encrypted(headers);
        let everybody = Visitor { visit: None, is_encrypted };
        if is_for_everybody(uri.path()) {
            return Ok(everybody);
        }
        let unknown = |error: Unknown| Box::new(self.away(head, &error.to_string()));
        if let Some(visit) = self.visit(head, is_encrypted).await.map_err(unknown)? {
            return Ok(Visitor { visit: Some(visit), is_encrypted });
        }
        if self.console.directory.is_empty().await.map_err(unknown)? {
            self.without_accounts(head)?;
            return Ok(everybody);
        }
        Err(Box::new(ask_for_login(head)))
    }

    /// The account that the request proves: by a token for the API, by a cookie for pages and for
    /// what pages read.
    async fn visit(&self, head: &Parts, is_encrypted: bool) -> Result<Option<Visit>, Unknown> {
        let (directory, headers) = (&self.console.directory, &head.headers);
        let is_api = is_api(head.uri.path());
        if is_api && let Some(token) = visitor::bearer(headers) {
            return directory.by_token(token).await;
        }
        // A page of another site cannot make a browser send a token, but it might a cookie.
        match visitor::cookie(headers, is_encrypted) {
            Some(cookie) if !is_api || head.method != Method::POST => {
                directory.by_cookie(cookie).await
            }
            _ => Ok(None),
        }
    }

    fn without_accounts(&self, head: &Parts) -> Result<(), Box<Response>> {
        let headers = &head.headers;
        let is_forwarded =
            ["forwarded", "x-forwarded-for", "via"].iter().any(|name| headers.contains_key(*name));
        let sentence = if !self.is_open_without_accounts || is_forwarded {
            "Nobody has an account yet, and only somebody on the machine itself may read without \
             one: `keywatch users add NAME --role responder` adds one."
        } else if head.method == Method::POST || visitor::bearer(headers).is_some() {
            "Nobody has an account yet, and changes need one: `keywatch users add NAME --role \
             responder` adds one."
        } else {
            return Ok(());
        };
        let refusal = Refusal::new(StatusCode::FORBIDDEN, sentence).for_people(is_read(head));
        Err(Box::new(refusal.into_response()))
    }

    fn away(&self, head: &Parts, reason: &str) -> Response {
        if is_read(head) {
            return answer::nothing_known(reason);
        }
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
    }
}

/// Whether a person reads the answer.
fn is_read(head: &Parts) -> bool {
    wants_page(head.uri.path(), &head.headers)
}

fn is_for_everybody(path: &str) -> bool {
    path == "/login" || path.starts_with("/assets/") || path.starts_with(owner::PATH)
}

/// The answer to a request without an account.
fn ask_for_login(head: &Parts) -> Response {
    let (uri, headers) = (&head.uri, &head.headers);
    if !is_read(head) {
        let sentence = "Send the token of an account as `Authorization: Bearer TOKEN`.";
        let mut response = Refusal::new(StatusCode::UNAUTHORIZED, sentence).into_response();
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    }
    if head.method == Method::POST {
        let sentence = "Your session has ended, and nothing was changed. Log in in another tab, \
            then go back here and load the form again: your browser keeps what you wrote.";
        return Refusal::new(StatusCode::UNAUTHORIZED, sentence).for_people(true).into_response();
    }
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        Some(b"cross-site" | b"same-site") => once_more(),
        _ => login::redirect(uri.path_and_query().map_or("/", |path| path.as_str())),
    }
}

/// A link in a mail opens the page without the cookie, which is `SameSite=Strict`. Loaded again by
/// a page of our own, it has the cookie.
fn once_more() -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; meta http-equiv="refresh" content="0"; title { "Keywatch" } }
            body { p { "One moment …" } }
        }
    };
    Html(page.into_string()).into_response()
}

fn confine(headers: &mut HeaderMap) {
    let fixed = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With `no-referrer`, browsers send forms without an origin.
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn status(method: Method, headers: &[(&'static str, &'static str)]) -> Option<u16> {
        let names = Names::of_loopback(9465, false);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let refusal = refuse(&names, &method, &Uri::from_static("/"), &map);
        refusal.map(|refusal| refusal.status().as_u16())
    }

    #[test]
    fn only_the_loopback_names_are_answered() {
        for host in ["127.0.0.1:9465", "localhost:9465", "LOCALHOST:9465", "[::1]:9465"] {
            assert_eq!(status(Method::GET, &[("host", host)]), None, "{host}");
        }
        for host in ["evil.example:9465", "127.0.0.1", "127.0.0.1:80", "localhost.evil:9465", ""] {
            assert_eq!(status(Method::GET, &[("host", host)]), Some(421), "{host}");
        }
        assert_eq!(status(Method::GET, &[]), Some(421));
        let twice = [("host", "localhost:9465"), ("host", "evil.example")];
        assert_eq!(status(Method::GET, &twice), Some(421));
    }

    #[test]
    fn other_sites_are_refused_and_their_links_are_not() {
        let host = ("host", "localhost:9465");
        for foreign in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("origin", "https://localhost:9465"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert_eq!(status(Method::GET, &[host, foreign]), Some(403), "{foreign:?}");
        }
        let own = [host, ("origin", "http://localhost:9465"), ("sec-fetch-site", "same-origin")];
        assert_eq!(status(Method::GET, &own), None);
        let link = [
            host,
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        assert_eq!(status(Method::GET, &link), None);
        let framed = [link[0], link[1], link[2], ("sec-fetch-dest", "iframe")];
        assert_eq!(status(Method::GET, &framed), Some(403));
    }

    #[test]
    fn a_form_of_another_site_is_refused() {
        let host = ("host", "localhost:9465");
        assert_eq!(status(Method::HEAD, &[host]), None);
        assert_eq!(status(Method::DELETE, &[host]), Some(405));
        assert_eq!(
            status(Method::POST, &[host]),
            Some(403),
            "a form that does not say whose it is"
        );
        let own = ("origin", "http://localhost:9465");
        assert_eq!(status(Method::POST, &[host, own]), None);
        let navigated = [
            host,
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        assert_eq!(status(Method::POST, &navigated), Some(403));
    }
}
