//! Judges networks that try keys of several partitions.
//!
//! All processes compute the same result. Only the owner of the network's home partition alerts
//! about the network; each process alerts about its own keys that were accepted from it.

use std::collections::HashMap;

use metrics::counter;
use serde_json::Value;
use tokio::task;

use super::Pipeline;
use crate::alert::{Alert, AlertType};
use crate::app::announce::publish_missing;
use crate::app::error::AppError;
use crate::app::suspects::Found;
use crate::engine::LeakedKey;
use crate::event::{EventTime, ShardId};
use crate::source::Source;

impl<S: Source> Pipeline<S> {
    /// Judges a network and publishes the alerts that are new and belong to this process.
    pub(super) async fn judge_found(&mut self, found: Found) -> Result<(), AppError> {
        let attempts = match &found {
            Found::Network(attempts) => attempts.as_slice(),
            Found::All => &[],
        };
        let Some(first) = attempts.first() else {
            counter!("keywatch_source_looks_total").increment(1);
            return Ok(());
        };
        let now = EventTime::now();
        let is_ours = self.owns(self.scorer.engine().home_of(first.client_ip));
        let verdict =
            task::block_in_place(|| self.scorer.engine().judge_network(attempts, Some(now)));
        let mut alerts = if is_ours { self.unpublished(verdict.alerts).await? } else { Vec::new() };
        alerts.extend(self.raise(verdict.leaks, now).await?);
        let publishing = publish_missing(self.store.store(), &self.outbox, alerts);
        self.store.beat_during(publishing).await?;
        Ok(())
    }

    async fn unpublished(&self, alerts: Vec<Alert>) -> Result<Vec<Alert>, AppError> {
        let ids: Vec<&str> = alerts.iter().map(|alert| alert.id.as_str()).collect();
        let latest = self.store.ask(|store| store.latest_revisions(&ids)).await?;
        Ok(beyond(alerts, &latest))
    }

    /// Raises an incident for each leaked key that this process judges.
    async fn raise(
        &mut self,
        mut leaks: Vec<LeakedKey>,
        now: EventTime,
    ) -> Result<Vec<Alert>, AppError> {
        leaks.retain(|leak| {
            self.scorer.engine().has_shard(ShardId::Partition(leak.attempt.partition.partition))
        });
        let keys: Vec<&str> = leaks.iter().map(|leak| leak.key_id.as_str()).collect();
        let since = leaks.iter().map(|leak| leak.attempt.time).min().unwrap_or_default();
        let known = self.store.ask(|store| store.keys_told_as_leaked(&keys, since)).await?;
        let raise = |leak: &LeakedKey| {
            let is_known = known.contains(&leak.key_id);
            self.scorer.engine_mut().raise(leak, is_known, Some(now))
        };
        Ok(leaks.iter().flat_map(raise).collect())
    }
}

/// Returns the alerts that are newer than the stored revisions. A judgement with more attempts may
/// have fewer revisions than an earlier one. Its last alert then gets the next free number, if it
/// says something new.
fn beyond(alerts: Vec<Alert>, stored: &HashMap<String, Alert>) -> Vec<Alert> {
    let last: HashMap<String, usize> =
        alerts.iter().enumerate().map(|(place, alert)| (alert.id.clone(), place)).collect();
    let news = alerts.into_iter().enumerate().filter_map(|(place, mut alert)| {
        let Some(stored) = stored.get(&alert.id) else { return Some(alert) };
        if alert.revision > stored.revision {
            return Some(alert);
        }
        let is_news = last.get(&alert.id) == Some(&place) && says_more(&alert, stored);
        alert.revision = stored.revision + 1;
        is_news.then_some(alert)
    });
    news.collect()
}

fn says_more(alert: &Alert, stored: &Alert) -> bool {
    let is_resolved = |alert: &Alert| alert.alert_type == AlertType::Resolved;
    (is_resolved(alert) && !is_resolved(stored))
        || alert.severity > stored.severity
        || keys_answered(alert) > keys_answered(stored)
}

fn keys_answered(alert: &Alert) -> u64 {
    let answered = |fields: &serde_json::Map<String, Value>| {
        fields.get("existing_keys_answered").and_then(Value::as_u64)
    };
    alert.evidence.iter().filter_map(|evidence| answered(&evidence.fields)).max().unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// An alert about a network from which `answered` keys were accepted.
    fn alert(revision: u32, alert_type: AlertType, answered: u64) -> Alert {
        let text = include_str!("../../../tests/fixtures/alerts/source_resolved.json");
        let mut alert: Alert = serde_json::from_str(text).unwrap();
        (alert.revision, alert.alert_type) = (revision, alert_type);
        let fields = &mut alert.evidence[0].fields;
        fields.insert("existing_keys_answered".into(), answered.into());
        alert
    }

    fn published(judged: &[(u32, AlertType, u64)], stored: Alert) -> Vec<(u32, AlertType)> {
        let alerts = judged.iter().map(|(revision, kind, keys)| alert(*revision, *kind, *keys));
        let stored = HashMap::from([(stored.id.clone(), stored)]);
        let news = beyond(alerts.collect(), &stored).into_iter();
        news.map(|alert| (alert.revision, alert.alert_type)).collect()
    }

    #[test]
    fn later_revisions_are_published_and_stored_ones_are_not() {
        use AlertType::{Opened, Updated};
        let judged = [(1, Opened, 0), (2, Updated, 0), (3, Updated, 1)];
        assert_eq!(published(&judged, alert(1, Opened, 0)), [(2, Updated), (3, Updated)]);
        assert_eq!(published(&judged, alert(3, Updated, 1)), []);
        assert_eq!(published(&judged[..1], alert(3, Updated, 1)), [], "less than is stored");
    }

    #[test]
    fn an_important_change_is_published_though_its_number_is_taken() {
        use AlertType::{Opened, Resolved, Updated};
        let closed = [(1, Opened, 0), (2, Resolved, 0)];
        assert_eq!(published(&closed, alert(3, Updated, 0)), [(4, Resolved)]);
        assert_eq!(published(&closed, alert(4, Resolved, 0)), []);
        let leaked = [(1, Opened, 0), (2, Updated, 1)];
        assert_eq!(published(&leaked, alert(2, Updated, 0)), [(3, Updated)]);
    }
}
