//! Sources that try keys of several partitions, told once.
//!
//! Every process finds the same and comes to the same. The owner of one partition tells of
//! the source, and each process of those keys of its own that were answered there.

use std::collections::HashMap;

use metrics::counter;
use serde_json::Value;
use tokio::task;

use super::suspects::Found;
use super::tell::tell_missing;
use super::{AppError, Pipeline};
use crate::alert::{Alert, AlertType};
use crate::engine::LeakedKey;
use crate::event::{EventTime, ShardId};
use crate::source::Source;

impl<S: Source> Pipeline<S> {
    /// Judges a network, and tells what was not told yet and is for this process to tell.
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
        let is_ours = self.intake.source.owns(self.core.home_of(first.client_ip));
        let verdict = task::block_in_place(|| self.core.judge_network(attempts, Some(now)));
        let mut alerts = if is_ours { self.untold(verdict.alerts).await? } else { Vec::new() };
        alerts.extend(self.raise(verdict.leaks, now).await?);
        let told = tell_missing(&self.store, &self.outbox, alerts);
        self.vitals.keep_beating(told).await?;
        Ok(())
    }

    async fn untold(&self, alerts: Vec<Alert>) -> Result<Vec<Alert>, AppError> {
        let ids: Vec<&str> = alerts.iter().map(|alert| alert.id.as_str()).collect();
        let latest = self.store.until_available(|| self.store.latest_revisions(&ids));
        let latest = self.vitals.keep_beating(latest).await?;
        Ok(beyond(alerts, &latest))
    }

    /// The keys among these that are judged here, each in its own incident.
    async fn raise(
        &mut self,
        mut leaks: Vec<LeakedKey>,
        now: EventTime,
    ) -> Result<Vec<Alert>, AppError> {
        leaks.retain(|leak| {
            self.core.has_shard(ShardId::Partition(leak.attempt.partition.partition))
        });
        let keys: Vec<&str> = leaks.iter().map(|leak| leak.key_id.as_str()).collect();
        let since = leaks.iter().map(|leak| leak.attempt.time).min().unwrap_or_default();
        let store = &self.store;
        let told = store.until_available(|| store.keys_told_as_leaked(&keys, since));
        let told = self.vitals.keep_beating(told).await?;
        let raise = |leak: &LeakedKey| {
            let is_told = told.contains(&leak.key_id);
            self.core.raise(leak, is_told, Some(now))
        };
        Ok(leaks.iter().flat_map(raise).collect())
    }
}

/// What a judgement says beyond the revisions that are stored. Made of more attempts it may have
/// fewer revisions than one before: the last one then is told under the next number, if it is
/// news.
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

    /// Of a source, in which so many keys were answered.
    fn alert(revision: u32, alert_type: AlertType, answered: u64) -> Alert {
        let text = include_str!("../../tests/fixtures/alerts/source_resolved.json");
        let mut alert: Alert = serde_json::from_str(text).unwrap();
        (alert.revision, alert.alert_type) = (revision, alert_type);
        let fields = &mut alert.evidence[0].fields;
        fields.insert("existing_keys_answered".into(), answered.into());
        alert
    }

    fn told(judged: &[(u32, AlertType, u64)], stored: Alert) -> Vec<(u32, AlertType)> {
        let alerts = judged.iter().map(|(revision, kind, keys)| alert(*revision, *kind, *keys));
        let stored = HashMap::from([(stored.id.clone(), stored)]);
        let news = beyond(alerts.collect(), &stored).into_iter();
        news.map(|alert| (alert.revision, alert.alert_type)).collect()
    }

    #[test]
    fn later_revisions_are_told_and_stored_ones_are_not() {
        use AlertType::{Opened, Updated};
        let judged = [(1, Opened, 0), (2, Updated, 0), (3, Updated, 1)];
        assert_eq!(told(&judged, alert(1, Opened, 0)), [(2, Updated), (3, Updated)]);
        assert_eq!(told(&judged, alert(3, Updated, 1)), []);
        assert_eq!(told(&judged[..1], alert(3, Updated, 1)), [], "less than is stored");
    }

    #[test]
    fn what_matters_is_told_though_its_number_is_taken() {
        use AlertType::{Opened, Resolved, Updated};
        let closed = [(1, Opened, 0), (2, Resolved, 0)];
        assert_eq!(told(&closed, alert(3, Updated, 0)), [(4, Resolved)]);
        assert_eq!(told(&closed, alert(4, Resolved, 0)), []);
        let leaked = [(1, Opened, 0), (2, Updated, 1)];
        assert_eq!(told(&leaked, alert(2, Updated, 0)), [(3, Updated)]);
    }
}
