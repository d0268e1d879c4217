//! Decides which requests are answered, and adds the headers that confine what a page can do.

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::refusal::Refusal;
use crate::http::Names;

/// No script, style or connection but the console's own; nobody may frame a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Returns the reason for which a request is not answered.
fn refuse(names: &Names, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Refusal> {
    if method != Method::GET && method != Method::HEAD {
        let sentence = "The console only reads: it answers GET and HEAD.";
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
    None
}

/// Refuses a request, or passes it on and confines the answer.
pub async fn guard(State(names): State<Names>, request: Request, next: Next) -> Response {
    let refusal = refuse(&names, request.method(), request.uri(), request.headers());
    let mut response = match refusal {
        Some(refusal) => refusal.answering(&request).into_response(),
        None => next.run(request).await,
    };
    confine(response.headers_mut());
    response
}

fn confine(headers: &mut HeaderMap) {
    let fixed = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
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
    fn nothing_but_reading_is_answered() {
        let host = ("host", "localhost:9465");
        assert_eq!(status(Method::HEAD, &[host]), None);
        assert_eq!(status(Method::POST, &[host]), Some(405));
        assert_eq!(status(Method::DELETE, &[host]), Some(405));
    }
}
