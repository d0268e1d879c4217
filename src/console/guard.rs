//! Decides which requests are answered, and adds the headers that confine what a page can do.
//!
//! A web page in a browser of this machine can send requests to loopback addresses. Its requests
//! carry a foreign `Host` (DNS rebinding), a foreign `Origin`, or `Sec-Fetch-Site` of another site.

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::refusal::Refusal;

/// No script, style or connection but the console's own; nobody may frame a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The names under which a browser of this machine reaches the console.
#[derive(Clone)]
pub struct Names(Vec<String>);

impl Names {
    pub fn new(port: u16) -> Self {
        let hosts = ["127.0.0.1", "localhost", "[::1]"];
        let named = hosts.iter().map(|host| format!("{host}:{port}"));
        // Browsers leave out the default port.
        let bare = hosts.iter().filter(|_| port == 80).map(ToString::to_string);
        Self(named.chain(bare).collect())
    }

    fn has(&self, host: &str) -> bool {
        self.0.iter().any(|name| name.eq_ignore_ascii_case(host))
    }

    /// Returns the reason for which a request is not answered.
    fn refuse(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Refusal> {
        if method != Method::GET && method != Method::HEAD {
            let sentence = "The console only reads: it answers GET and HEAD.";
            return Some(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, sentence));
        }
        let is_named = one(headers, &HOST).is_some_and(|host| self.has(host))
            && uri.authority().is_none_or(|authority| self.has(authority.as_str()));
        if !is_named {
            let sentence = format!("Open the console as http://{}/.", self.0[0]);
            return Some(Refusal::new(StatusCode::MISDIRECTED_REQUEST, sentence));
        }
        let is_foreign = headers.contains_key(ORIGIN) && !self.is_own_origin(headers);
        if is_foreign || is_from_another_site(headers) {
            let sentence = "Another site asked for this. Open the console by its own address.";
            return Some(Refusal::new(StatusCode::FORBIDDEN, sentence));
        }
        None
    }

    fn is_own_origin(&self, headers: &HeaderMap) -> bool {
        one(headers, &ORIGIN)
            .and_then(|origin| origin.strip_prefix("http://"))
            .is_some_and(|host| self.has(host))
    }
}

/// The value of a header that occurs once.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Fetch metadata, as browsers set it. A link from elsewhere, such as one in a mail, may open a
/// page: the other site cannot read it, and nothing that can be opened has an effect.
fn is_from_another_site(headers: &HeaderMap) -> bool {
    let said = |name: &'static str| headers.get(name).map(HeaderValue::as_bytes);
    let is_own = matches!(said("sec-fetch-site"), None | Some(b"same-origin" | b"none"));
    let is_link =
        said("sec-fetch-mode") == Some(b"navigate") && said("sec-fetch-dest") == Some(b"document");
    !is_own && !is_link
}

/// Refuses a request, or passes it on and confines the answer.
pub async fn guard(State(names): State<Names>, request: Request, next: Next) -> Response {
    let refusal = names.refuse(request.method(), request.uri(), request.headers());
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
        let names = Names::new(9465);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let refusal = names.refuse(&method, &Uri::from_static("/"), &map);
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
    fn the_default_port_may_be_left_out() {
        assert!(Names::new(80).has("localhost"));
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
