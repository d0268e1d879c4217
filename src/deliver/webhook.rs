//! Sends each alert as one signed POST, as Standard Webhooks specifies.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};

use super::signature::Signer;
use super::{Channel, ChannelError, DeliveryError, delivery_id};
use crate::alert::{Alert, Severity};
use crate::config::WebhookConfig;

pub struct WebhookChannel {
    client: Client,
    url: Url,
    signer: Signer,
    min_severity: Severity,
    timeout_seconds: u64,
    max_in_flight: usize,
}

impl WebhookChannel {
    /// # Errors
    /// When the URL or the secret cannot be used.
    pub fn new(config: &WebhookConfig) -> Result<Self, ChannelError> {
        let url = parse_url(&config.url)
            .map_err(|reason| ChannelError::Config { key: "webhook.url", reason })?;
        let signer = Signer::new(&config.secret)
            .map_err(|reason| ChannelError::Config { key: "webhook.secret", reason })?;
        let client = client(Duration::from_secs(config.timeout_seconds)).map_err(|error| {
            ChannelError::Start { channel: "webhook", reason: error_chain(&error) }
        })?;
        Ok(Self {
            client,
            url,
            signer,
            min_severity: config.min_severity,
            timeout_seconds: config.timeout_seconds,
            max_in_flight: config.max_in_flight as usize,
        })
    }

    async fn post(&self, alert: &Alert) -> Result<Response, DeliveryError> {
        let body = serde_json::to_vec(alert).map_err(|error| DeliveryError::Permanent {
            reason: format!("the alert cannot be written as JSON: {error}"),
        })?;
        let id = delivery_id(alert);
        // Receivers refuse old timestamps, so this is the time of the attempt and not of the alert.
        let timestamp = Timestamp::now().as_second();
        let signature = self.signer.sign(&id, timestamp, &body);
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(body);
        request.send().await.map_err(|error| self.no_response(error))
    }

    fn no_response(&self, error: reqwest::Error) -> DeliveryError {
        let host = self.host();
        let reason = if error.is_timeout() {
            format!("{host} did not answer within {} s", self.timeout_seconds)
        } else {
            // The URL may carry a token.
            format!("cannot reach {host}: {}", error_chain(&error.without_url()))
        };
        DeliveryError::Retryable { reason, retry_after: None }
    }

    fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }
}

impl Channel for WebhookChannel {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn declines(&self, alert: &Alert) -> Option<&'static str> {
        (alert.severity < self.min_severity).then_some("below webhook.min_severity")
    }

    fn parallel(&self) -> usize {
        self.max_in_flight
    }

    async fn deliver(&self, alerts: &[Arc<Alert>]) -> Result<String, DeliveryError> {
        for alert in alerts {
            let response = self.post(alert).await?;
            judge(&response, SystemTime::now())?;
            // The body is left out: the receiver chooses it, and it may hold anything.
            let (status, length) = (response.status(), response.content_length());
            tracing::debug!(%status, length, "webhook answered");
        }
        Ok(format!("accepted by {}", self.host()))
    }
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

/// Decides from the status what happens to this alert and to the channel.
fn judge(response: &Response, now: SystemTime) -> Result<(), DeliveryError> {
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    match status {
        _ if status.is_success() => Ok(()),
        _ if status.is_redirection() => {
            Err(DeliveryError::Blocked { reason: redirected(status, header(LOCATION)) })
        }
        StatusCode::GONE => Err(DeliveryError::Gone {
            reason: "the receiver answered 410 Gone: it wants no more webhooks".into(),
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
                "the receiver answered {status}: check webhook.url, webhook.secret and the receiver"
            ),
        }),
        _ => Err(DeliveryError::Permanent {
            reason: format!("the receiver answered {status} and will not take this alert"),
        }),
    }
}

fn retryable(status: StatusCode, retry_after: Option<&str>, now: SystemTime) -> DeliveryError {
    DeliveryError::Retryable {
        reason: format!("the receiver answered {status}"),
        retry_after: retry_after.and_then(|value| pause(value, now)),
    }
}

/// Names only the new host: the rest of the location may carry a token.
fn redirected(status: StatusCode, location: Option<&str>) -> String {
    let target = location.and_then(|location| Url::parse(location).ok());
    let host = target.as_ref().and_then(Url::host_str).unwrap_or("another path of the same host");
    format!(
        "the receiver answered {status}, a redirect to {host}; redirects are not followed: \
         put the final address into webhook.url"
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
        let text =
            redirected(StatusCode::MOVED_PERMANENTLY, Some("https://new.example/hook/s3cr3t"));
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
