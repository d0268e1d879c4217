//! Tells requests that a web page of another site causes from those of its users.
//!
//! A web page in a browser of this machine can send requests to loopback addresses. Its requests
//! carry a foreign `Host` (DNS rebinding), a foreign `Origin`, or `Sec-Fetch-Site` of another site.

use std::net::SocketAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};

/// The names under which an endpoint is reached.
#[derive(Clone, Debug)]
pub struct Names {
    /// `None`: every name is accepted.
    hosts: Option<Vec<String>>,
    scheme: &'static str,
}

impl Names {
    /// Names of loopback, for an endpoint of this machine alone.
    pub fn of_loopback(port: u16, is_tls: bool) -> Self {
        let hosts = ["127.0.0.1", "localhost", "[::1]"];
        let named = hosts.iter().map(|host| format!("{host}:{port}"));
        let (scheme, default_port) = if is_tls { ("https://", 443) } else { ("http://", 80) };
        // Browsers leave out the default port.
        let bare = hosts.iter().filter(|_| port == default_port).map(ToString::to_string);
        Self { hosts: Some(named.chain(bare).collect()), scheme }
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

    /// The address for people, as far as it is known.
    pub fn first(&self) -> String {
        let host = self.hosts.as_ref().and_then(|hosts| hosts.first());
        format!("{}{}", self.scheme, host.map_or("", String::as_str))
    }

    pub fn has(&self, host: &str) -> bool {
        let without_port = host.rsplit_once(':').map_or(host, |(host, _)| host);
        self.hosts.as_ref().is_none_or(|hosts| {
            hosts.iter().any(|name| {
                name.eq_ignore_ascii_case(host) || name.eq_ignore_ascii_case(without_port)
            })
        })
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

    fn is_own_origin(&self, headers: &HeaderMap) -> bool {
        let origin = one(headers, &ORIGIN).and_then(|origin| origin.strip_prefix(self.scheme));
        self.hosts.is_some() && origin.is_some_and(|host| self.has(host))
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

    #[test]
    fn no_browser_page_is_at_home_where_every_name_is_accepted() {
        let origin = [("origin", "http://10.1.2.3:8081")];
        let headers = origin
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        assert!(names("0.0.0.0:8081", &[]).is_foreign(&headers.into_iter().collect()));
    }
}
