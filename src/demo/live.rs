//! Withholds alerts about the learning phase from the demo's channels, so that learning mails
//! nobody.

use std::sync::Arc;

use tokio::time::Instant;

use super::source::LiveSince;
use crate::alert::Alert;
use crate::deliver::{Allowance, Channel, DeliveryError};

/// A channel for alerts about the live part only.
pub(super) struct LiveOnly<C> {
    channel: C,
    since: LiveSince,
}

impl<C> LiveOnly<C> {
    pub(super) fn new(channel: C, since: &LiveSince) -> Self {
        Self { channel, since: Arc::clone(since) }
    }
}

impl<C: Channel> Channel for LiveOnly<C> {
    fn name(&self) -> &'static str {
        self.channel.name()
    }

    fn declines(&self, alert: &Alert) -> Option<&'static str> {
        let is_live = self.since.get().is_some_and(|since| alert.detected_event_time >= *since);
        if is_live { self.channel.declines(alert) } else { Some("about the demo's history") }
    }

    fn parallel(&self) -> usize {
        self.channel.parallel()
    }

    fn allowance(&self, now: Instant) -> Allowance {
        self.channel.allowance(now)
    }

    async fn deliver(&self, alerts: &[Arc<Alert>]) -> Result<String, DeliveryError> {
        self.channel.deliver(alerts).await
    }
}
