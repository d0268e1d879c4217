//! Checks the URLs of services that this service calls.

use std::net::IpAddr;

use reqwest::Url;

use crate::config::Findings;

/// Requires that the setting `key` is an HTTP URL without a password. The password belongs in
/// `password_key`.
pub fn check(findings: &mut Findings, key: &'static str, url: &str, password_key: &str) {
    match Url::parse(url) {
        Ok(url) => {
            let is_http = matches!(url.scheme(), "http" | "https");
            findings.require(is_http, key, "must begin with http:// or https://");
            let message = format!("must not contain a password; use `{password_key}`");
            findings.require(url.password().is_none(), key, message);
        }
        Err(error) => findings.require(false, key, format!("is not a URL: {error}")),
    }
}

/// Whether requests to this address leave the machine unencrypted.
pub fn is_remote_http(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| {
        url.scheme() == "http"
            && !url.host_str().is_some_and(|host| is_local(host.trim_matches(['[', ']'])))
    })
}

/// Whether the host is this machine.
pub fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unencrypted_addresses_elsewhere_are_remote_http() {
        for local in
            ["http://localhost:1/", "http://127.0.0.1/x", "http://[::1]:8/", "https://a.b/"]
        {
            assert!(!is_remote_http(local), "{local}");
        }
        assert!(is_remote_http("http://example.com/"));
        assert!(is_remote_http("http://192.0.2.1/"));
    }
}
