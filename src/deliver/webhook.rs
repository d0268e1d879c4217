//! Sends each alert as one signed POST, as Standard Webhooks specifies.

use std::sync::Arc;

use reqwest::Response;

use super::answer;
use super::post::{Post, PostError};
use super::signature::Signer;
use super::{Channel, ChannelError, DeliveryError, delivery_id};
use crate::alert::{Alert, Severity};
use crate::config::WebhookConfig;

pub struct WebhookChannel {
    post: Post,
    signer: Signer,
    min_severity: Severity,
    max_in_flight: usize,
}

impl WebhookChannel {
    /// # Errors
    /// When the URL or the secret cannot be used.
    pub fn new(config: &WebhookConfig) -> Result<Self, ChannelError> {
        let post = Post::new("webhook", &config.url, config.timeout_seconds);
        let post = post.map_err(|error| match error {
            PostError::Url(reason) => ChannelError::Config { key: "webhook.url", reason },
            PostError::Start(reason) => ChannelError::Start { channel: "webhook", reason },
        })?;
        let signer = Signer::new(&config.secret)
            .map_err(|reason| ChannelError::Config { key: "webhook.secret", reason })?;
        let (min_severity, max_in_flight) = (config.min_severity, config.max_in_flight as usize);
        Ok(Self { post, signer, min_severity, max_in_flight })
    }

    async fn send(&self, alert: &Alert) -> Result<Response, DeliveryError> {
        let body = serde_json::to_vec(alert).map_err(|error| DeliveryError::Permanent {
            reason: format!("the alert cannot be written as JSON: {error}"),
        })?;
        let id = delivery_id(alert);
        let call = self.signer.call(&self.post, id, body);
        self.post.send(call).await
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
        let mut detail = format!("accepted by {}", self.post.host());
        for alert in alerts {
            let response = self.send(alert).await?;
            if alert.alert_type.is_request()
                && let Some(word) = answer::read(response).await
            {
                detail += answer::SAID;
                detail += word;
            }
        }
        Ok(detail)
    }
}
