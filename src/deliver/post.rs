//! Sends bodies over HTTP and decides what an answer means, for all channels that do so.

use std::error::Error;
use std::time::{Duration, SystemTime};

use reqwest::header::{LOCATION, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect};

use super::DeliveryError;

/// The receiver of a channel's calls.
pub(super) struct Post {
    client: Client,
    url: Url,
    timeout_seconds: u64,
    /// The section of the configuration, for what an operator must repair.
    section: String,
}

impl Post {
    /// # Errors
    /// When the URL cannot be used, or the client does not start. The reason does not show the URL.
    pub(super) fn new(section: &str, url: &str, timeout_seconds: u64) -> Result<Self, PostError> {
        let url = parse_url(url).map_err(PostError::Url)?;
        let client = client(Duration::from_secs(timeout_seconds))
            .map_err(|error| PostError::Start(error_chain(&error)))?;
        Ok(Self { client, url, timeout_seconds, section: section.to_owned() })
    }

    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// A call to the receiver, at the address below its own that `path` names, if it does.
    pub(super) fn call(&self, path: &str) -> RequestBuilder {
        let mut url = self.url.clone();
        if !path.is_empty() {
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            let whole = format!("{}{path}", url.path().trim_end_matches('/'));
            url.set_path(&whole);
            url.set_query(Some(query).filter(|query| !query.is_empty()));
        }
        self.client.post(url)
    }

    /// Sends a call. A success is an answer of 2xx.
    ///
    /// # Errors
    /// [`DeliveryError`]; no reason shows the URL, which may carry a token.
    pub(super) async fn send(&self, call: RequestBuilder) -> Result<Response, DeliveryError> {
        let response = call.send().await.map_err(|error| self.no_response(error))?;
        self.judge(&response, SystemTime::now())?;
        // The body is left out: the receiver chooses it, and it may hold anything.
        let (status, length) = (response.status(), response.content_length());
        tracing::debug!(%status, length, section = self.section, "a receiver answered");
        Ok(response)
    }

    fn no_response(&self, error: reqwest::Error) -> DeliveryError {
        let host = self.host();
        let reason = if error.is_timeout() {
            format!("{host} did not answer within {} s", self.timeout_seconds)
        } else {
            format!("cannot reach {host}: {}", error_chain(&error.without_url()))
        };
        DeliveryError::Retryable { reason, retry_after: None }
    }

    /// Decides from the status what happens to this alert and to the channel.
    fn judge(&self, response: &Response, now: SystemTime) -> Result<(), DeliveryError> {
        let status = response.status();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        match status {
            _ if status.is_success() => Ok(()),
            _ if status.is_redirection() => Err(DeliveryError::Blocked {
                reason: redirected(&self.section, status, header(LOCATION)),
            }),
            StatusCode::GONE => Err(DeliveryError::Gone {
                reason: "the receiver answered 410 Gone: it wants no more alerts".into(),
            }),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Err(retryable(status, header(RETRY_AFTER), now))
            }
            _ if status.is_server_error() => Err(retryable(status, header(RETRY_AFTER), now)),
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::PROXY_AUTHENTICATION_REQUIRED => Err(DeliveryError::Blocked {
                reason: format!(
                    "the receiver answered {status}: check {section}.url, {section}.secret and the receiver",
                    section = self.section
                ),
            }),
            _ => Err(DeliveryError::Permanent {
                reason: format!("the receiver answered {status} and will not take this alert"),
            }),
        }
    }
}

/// Why calls cannot be made.
#[derive(Debug)]
pub(super) enum PostError {
    Url(String),
    Start(String),
}

/// Why this cannot be the address of a receiver. The reason does not show the address.
pub(super) fn url_fault(text: &str) -> Option<String> {
    parse_url(text).err()
}

fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("must begin with https:// (or http:// within a trusted network)".into());
    }
    Ok(url)
}

fn client(timeout: Duration) -> Result<Client, reqwest::Error> {
    // Fails when the process has installed a provider already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .timeout(timeout)
        .redirect(redirect::Policy::none())
        .user_agent(concat!("keywatch/", env!("CARGO_PKG_VERSION")))
        .build()
}

fn retryable(status: StatusCode, retry_after: Option<&str>, now: SystemTime) -> DeliveryError {
    DeliveryError::Retryable {
        reason: format!("the receiver answered {status}"),
        retry_after: retry_after.and_then(|value| pause(value, now)),
    }
}

/// Names only the new host: the rest of the location may carry a token.
fn redirected(section: &str, status: StatusCode, location: Option<&str>) -> String {
    let target = location.and_then(|location| Url::parse(location).ok());
    let host = target.as_ref().and_then(Url::host_str).unwrap_or("another path of the same host");
    format!(
        "the receiver answered {status}, a redirect to {host}; redirects are not followed: \
         put the final address into {section}.url"
    )
}

/// `Retry-After` as seconds or as a date (RFC 9110, section 10.2.3).
fn pause(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value.trim()).ok()?;
    SystemTime::from(date.timestamp()).duration_since(now).ok()
}

/// The error with its causes: the outer one alone often reads only "error sending request".
fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(pause("120", now), Some(Duration::from_secs(120)));
        let later = "Sun, 06 Nov 1994 08:50:07 GMT";
        assert_eq!(pause(later, now), Some(Duration::from_secs(30)));
        assert_eq!(pause("Sun, 06 Nov 1994 08:49:07 GMT", now), None, "in the past");
        assert_eq!(pause("soon", now), None);
    }

    #[test]
    fn a_redirect_names_the_host_but_not_the_token_in_the_path() {
        let text = redirected(
            "webhook",
            StatusCode::MOVED_PERMANENTLY,
            Some("https://new.example/hook/s3cr3t"),
        );
        assert!(text.contains("new.example") && !text.contains("s3cr3t"), "{text}");
    }

    #[test]
    fn only_web_addresses_are_accepted() {
        for (url, accepted) in [
            ("https://hooks.example/keywatch", true),
            ("http://127.0.0.1:9/", true),
            ("ftp://hooks.example/", false),
            ("hooks.example", false),
        ] {
            assert_eq!(parse_url(url).is_ok(), accepted, "{url}");
        }
    }
}
