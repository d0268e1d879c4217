//! Raises reports of leaks, and requests that name a canary.

use crate::alert::{Alert, DetectorId};
use crate::decide::{KnownKey, Moment, Occurrence, Policy, Subject};
use crate::detect::canary::{BY_CHANCE, canary_signal};
use crate::detect::leak::{FirstUse, report_signal};
use crate::event::{EnrichedEvent, EventTime, KeyId, ShardId};
use crate::proof::Standing;
use crate::registry::{Leak, RegisteredKey};

use super::Engine;
use super::shard::{Shard, Shared};

impl Engine {
    /// The shard that has a profile of the key.
    pub fn shard_of(&self, key_id: &KeyId) -> Option<ShardId> {
        self.shards.iter().find(|(_, shard)| shard.profiles.contains_key(key_id)).map(|(id, _)| *id)
    }

    /// Adds the report of a leak to the incident of its key in `shard`, or opens one.
    pub fn report_leak(
        &mut self,
        leak: &Leak,
        first_use: Option<&FirstUse>,
        shard: ShardId,
        now: Option<EventTime>,
    ) -> Vec<Alert> {
        let Some(shard) = self.shards.get_mut(&shard) else { return Vec::new() };
        let registered = self.registry.get(&leak.key_id);
        shard.report_leak(leak, first_use, registered, now, &self.model_version, &self.policy)
    }
}

impl Shard {
    fn report_leak(
        &mut self,
        leak: &Leak,
        first_use: Option<&FirstUse>,
        registered: Option<&RegisteredKey>,
        now: Option<EventTime>,
        model_version: &str,
        policy: &Policy,
    ) -> Vec<Alert> {
        // The incident closes by the clock of a partition that is read.
        let newest = self.clocks.iter().max_by_key(|(_, clock)| clock.watermark());
        let Some((partition, clock)) = newest else { return Vec::new() };
        let (partition, watermark) = (partition.clone(), clock.watermark());
        let watermark = watermark.unwrap_or(leak.since);
        let moment = Moment { partition: &partition, watermark, now, model_version };
        let subject = Subject::Key(leak.key_id.clone());
        let stale = self.decider.close_stale(&subject, watermark, moment, policy);
        let mut alerts: Vec<Alert> = stale.into_iter().collect();
        let signal = report_signal(leak, first_use);
        if signal.p_value > self.decider.news_below(&subject, signal.detector, None) {
            return alerts;
        }
        let profile = self.profiles.get(&leak.key_id).map(|kept| &*kept.profile);
        let occurrence = Occurrence {
            time: leak.since,
            named_after: leak.since,
            // No record shows the leak: the incident begins where the log is.
            offset: self.position(&partition).unwrap_or_default(),
            known: KnownKey::new(registered, profile),
            source_ip: None,
            affected_keys: &[],
        };
        alerts.extend(self.decider.consider(&subject, occurrence, vec![signal], moment, policy));
        alerts
    }

    /// Raises an incident if the request names a canary. The key needs no profile: it was never
    /// used.
    pub(super) fn judge_canary(
        &mut self,
        enriched: &EnrichedEvent,
        standing: &Standing<'_>,
        moment: Moment<'_>,
        shared: &mut Shared<'_>,
    ) {
        let key_id = &enriched.event.key_id;
        let Some(key) = shared.registry.canary(key_id) else { return };
        let subject = Subject::Key(key_id.clone());
        let stale =
            self.decider.close_stale_key(key_id, enriched.event.time, moment, shared.policy);
        shared.outcome.alerts.extend(stale);
        let signal = canary_signal(key, enriched, standing.is_accepted());
        if BY_CHANCE > self.decider.news_below(&subject, DetectorId::CanaryUse, signal.ceiling) {
            return;
        }
        let known = KnownKey::new(Some(key), None);
        let occurrence = Occurrence::of_key(enriched, known);
        let alert =
            self.decider.consider(&subject, occurrence, vec![signal], moment, shared.policy);
        shared.outcome.alerts.extend(alert);
    }
}
