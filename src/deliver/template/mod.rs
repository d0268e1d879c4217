//! Sends JSON, made from a template, over HTTP: chat, paging, tickets and SIEMs.

mod body;
mod context;

use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};

pub use self::body::Template;
use self::context::Event;
use super::post::{Post, PostError};
use super::{Channel, ChannelError, DeliveryError};
use crate::alert::{Alert, Severity};
use crate::config::{ChannelConfig, ChannelKind, Secret};
use crate::facts::plain_id;

pub struct TemplateChannel {
    name: &'static str,
    kind: Option<ChannelKind>,
    post: Post,
    template: Template,
    secret: Secret,
    authorization: Option<HeaderValue>,
    min_severity: Severity,
    max_in_flight: usize,
}

impl TemplateChannel {
    /// # Errors
    /// When the address or the template cannot be used.
    pub fn new(name: &str, config: &ChannelConfig) -> Result<Self, ChannelError> {
        let fault = |reason: String| ChannelError::Named { name: name.to_owned(), reason };
        let section = format!("channel.{name}");
        let post = Post::new(&section, config.url.reveal(), config.timeout_seconds);
        let post = post.map_err(|error| match error {
            PostError::Url(reason) => fault(format!("its url {reason}")),
            PostError::Start(reason) => fault(format!("cannot start: {reason}")),
        })?;
        Ok(Self {
            // Metrics and rows carry the name for as long as the process runs.
            name: Box::leak(name.to_owned().into_boxed_str()),
            kind: config.kind,
            post,
            template: Template::of(config).map_err(fault)?,
            authorization: authorization(config).map_err(fault)?,
            secret: config.secret.clone(),
            min_severity: config.min_severity,
            max_in_flight: config.max_in_flight as usize,
        })
    }

    async fn send(&self, alert: &Alert) -> Result<(), DeliveryError> {
        // The error is of the template and this alert: another attempt would give it again. What the
        // engine says about the values is left out, since the secret is one of them.
        let body = self.template.render(alert, self.secret.reveal()).map_err(|error| {
            DeliveryError::Permanent { reason: format!("the template fails: {}", error.place()) }
        })?;
        let mut call = self.post.call(&self.path(alert)).header(CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            call = call.header(AUTHORIZATION, authorization.clone());
        }
        self.post.send(call.body(body)).await.map(drop)
    }

    /// Jira acknowledges and closes an alert at addresses of their own, by its alias.
    fn path(&self, alert: &Alert) -> String {
        let verb = match (self.kind, Event::of(alert)) {
            (Some(ChannelKind::Jira), Event::Acknowledge) => "acknowledge",
            (Some(ChannelKind::Jira), Event::Resolve) => "close",
            _ => return String::new(),
        };
        format!("/{}/{verb}?identifierType=alias", plain_id(alert))
    }
}

/// The header with the secret, where the receiver wants one.
fn authorization(config: &ChannelConfig) -> Result<Option<HeaderValue>, String> {
    let own = match config.kind {
        Some(ChannelKind::Splunk) => Some("Splunk"),
        Some(ChannelKind::Jira) => Some("GenieKey"),
        _ => None,
    };
    let Some(scheme) = config.authorization.as_deref().or(own) else { return Ok(None) };
    let value = HeaderValue::try_from(format!("{scheme} {}", config.secret.reveal()));
    let mut value =
        value.map_err(|_| "its secret holds characters that no header may hold".to_owned())?;
    value.set_sensitive(true);
    Ok(Some(value))
}

impl Channel for TemplateChannel {
    fn name(&self) -> &'static str {
        self.name
    }

    fn declines(&self, alert: &Alert) -> Option<&'static str> {
        (alert.severity < self.min_severity).then_some("below the channel's min_severity")
    }

    fn parallel(&self) -> usize {
        self.max_in_flight
    }

    async fn deliver(&self, alerts: &[Arc<Alert>]) -> Result<String, DeliveryError> {
        for alert in alerts {
            self.send(alert).await?;
        }
        Ok(format!("accepted by {}", self.post.host()))
    }
}

#[cfg(test)]
mod tests;
