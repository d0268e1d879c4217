//! Tells requests that a web page of another site causes from those of its users.
//!
//! A web page in a browser of this machine can send requests to loopback addresses. Its requests
//! carry a foreign `Host` (DNS rebinding), a foreign `Origin`, or `Sec-Fetch-Site` of another site.

use std::net::SocketAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use reqwest::Url;

/// The names under which an endpoint is reached.
#[derive(Clone, Debug)]
pub struct Names {
    /// `None`: every name is accepted.
    hosts: Option<Vec<String>>,
    scheme: &'static str,
    /// The origin under which people reach the endpoint from elsewhere, such as
    /// `https://keywatch.example.com`.
    public: Option<String>,
}

impl Names {
    /// Names of loopback, for an endpoint of this machine alone.
    pub fn of_loopback(port: u16, is_tls: bool) -> Self {
        let hosts = ["127.0.0.1", "localhost", "[::1]"];
        let named = hosts.iter().map(|host| format!("{host}:{port}"));
        let (scheme, default_port) = if is_tls { ("https://", 443) } else { ("http://", 80) };
        // Browsers leave out the default port.
        let bare = hosts.iter().filter(|_| port == default_port).map(ToString::to_string);
        Self { hosts: Some(named.chain(bare).collect()), scheme, public: None }
    }

    /// Names of an endpoint at `address`. `others` are hosts, with or without a port, under which
    /// proxies and tunnels reach it. An endpoint of the network without such names accepts all of
    /// them.
    pub fn of(address: SocketAddr, others: &[String], is_tls: bool) -> Self {
        let mut names = Self::of_loopback(address.port(), is_tls);
        match &mut names.hosts {
            Some(hosts) if address.ip().is_loopback() || !others.is_empty() => {
                hosts.push(address.to_string());
                hosts.extend_from_slice(others);
            }
            hosts => *hosts = None,
        }
        names
    }

    /// The same names and that of this URL, which a proxy or a tunnel passes on.
    pub fn with_url(self, url: Option<&str>) -> Self {
        Self { public: url.and_then(origin), ..self }
    }

    /// The address for people, as far as it is known.
    pub fn first(&self) -> String {
        if let Some(public) = &self.public {
            return public.clone();
        }
        let host = self.hosts.as_ref().and_then(|hosts| hosts.first());
        format!("{}{}", self.scheme, host.map_or("", String::as_str))
    }

    pub fn has(&self, host: &str) -> bool {
        self.is_public(host) || self.is_own(host)
    }

    fn is_own(&self, host: &str) -> bool {
        let without_port = host.rsplit_once(':').map_or(host, |(host, _)| host);
        self.hosts.as_ref().is_none_or(|hosts| {
            hosts.iter().any(|name| {
                name.eq_ignore_ascii_case(host) || name.eq_ignore_ascii_case(without_port)
            })
        })
    }

    fn is_public(&self, host: &str) -> bool {
        let public = self.public.as_ref().and_then(|origin| origin.split_once("://"));
        public.is_some_and(|(_, name)| name.eq_ignore_ascii_case(host))
    }

    /// Whether the client of this request reached the endpoint by TLS.
    pub fn is_encrypted(&self, headers: &HeaderMap) -> bool {
        let is_public = one(headers, &HOST).is_some_and(|host| self.is_public(host));
        match &self.public {
            Some(origin) if is_public => origin.starts_with("https://"),
            _ => self.scheme == "https://",
        }
    }

    /// Whether the request names this endpoint, in `Host` and in its target if that has a host.
    pub fn are_named(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        one(headers, &HOST).is_some_and(|host| self.has(host))
            && uri.authority().is_none_or(|authority| self.has(authority.as_str()))
    }

    /// Whether a page of another site causes the request.
    pub fn is_foreign(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(ORIGIN) && !self.is_own_origin(headers)
            || is_from_another_site(headers)
    }

    /// Whether a page of this endpoint sends the request. Browsers say so with each `POST`.
    pub fn is_own_form(&self, headers: &HeaderMap) -> bool {
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        let has_origin = headers.contains_key(ORIGIN);
        let is_own_site = matches!(site, None | Some(b"same-origin"));
        is_own_site
            && (has_origin || site.is_some())
            && (!has_origin || self.is_own_origin(headers))
    }

    fn is_own_origin(&self, headers: &HeaderMap) -> bool {
        let said = one(headers, &ORIGIN);
        if said.is_some_and(|origin| self.public.as_deref() == Some(origin)) {
            return true;
        }
        let origin = one(headers, &ORIGIN).and_then(|origin| origin.strip_prefix(self.scheme));
        self.hosts.is_some() && origin.is_some_and(|host| self.is_own(host))
    }
}

/// `https://keywatch.example.com`, as browsers write it: without a default port.
pub fn origin(url: &str) -> Option<String> {
    let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    Some(url.origin().ascii_serialization())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn names(address: &str, others: &[&str]) -> Names {
        let others: Vec<String> = others.iter().map(ToString::to_string).collect();
        Names::of(address.parse().unwrap(), &others, false)
    }

    #[test]
    fn the_default_port_may_be_left_out() {
        assert!(Names::of_loopback(80, false).has("localhost"));
        assert!(!Names::of_loopback(443, false).has("localhost"));
        assert!(Names::of_loopback(443, true).has("localhost"));
    }

    #[test]
    fn an_endpoint_of_this_machine_has_its_own_names_and_those_it_is_given() {
        let own = names("127.0.0.1:8081", &[]);
        assert!(own.has("localhost:8081") && own.has("127.0.0.1:8081"));
        assert!(!own.has("rebound.example:8081") && !own.has("localhost:80"));
        let given = names("127.0.0.1:8081", &["logs.example.com"]);
        assert!(given.has("logs.example.com") && given.has("LOGS.example.com:443"));
        assert!(!given.has("other.example.com"));
    }

    #[test]
    fn an_endpoint_of_the_network_has_any_name_until_some_are_given() {
        assert!(names("0.0.0.0:8081", &[]).has("10.1.2.3:8081"));
        assert!(!names("0.0.0.0:8081", &["logs.example.com"]).has("10.1.2.3:8081"));
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_url_names_an_endpoint_of_this_machine_for_others() {
        let own = Names::of_loopback(9465, false).with_url(Some("https://Keywatch.example.com/"));
        assert!(own.has("keywatch.example.com") && own.has("localhost:9465"));
        assert!(!own.has("keywatch.example.com:9465") && !own.has("example.com"));
        assert_eq!(own.first(), "https://keywatch.example.com");
        let from = |origin| headers(&[("origin", origin)]);
        assert!(!own.is_foreign(&from("https://keywatch.example.com")));
        assert!(own.is_foreign(&from("http://keywatch.example.com")));
        assert!(own.is_encrypted(&headers(&[("host", "keywatch.example.com")])));
        assert!(!own.is_encrypted(&headers(&[("host", "localhost:9465")])));
    }

    #[test]
    fn a_form_must_say_that_it_is_of_this_endpoint() {
        let own = Names::of_loopback(9465, false);
        let origin = ("origin", "http://localhost:9465");
        let site = |site| ("sec-fetch-site", site);
        assert!(own.is_own_form(&headers(&[origin, site("same-origin")])));
        assert!(
            own.is_own_form(&headers(&[origin]))
                && own.is_own_form(&headers(&[site("same-origin")]))
        );
        for bad in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "http://localhost:1")],
            &[("origin", "null"), site("same-origin")],
            &[
                origin,
                site("cross-site"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "document"),
            ],
            &[site("none")],
        ] {
            assert!(!own.is_own_form(&headers(bad)), "{bad:?}");
        }
    }

    #[test]
    fn no_browser_page_is_at_home_where_every_name_is_accepted() {
        let origin = [("origin", "http://10.1.2.3:8081")];
        let headers = origin
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        assert!(names("0.0.0.0:8081", &[]).is_foreign(&headers.into_iter().collect()));
    }
}
