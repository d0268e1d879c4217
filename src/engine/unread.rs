//! Judges requests that name a key and cannot be read. A rise of them is a sign about the key: what
//! its holder or a thief does there is not seen.
//!
//! A rejected record proves nothing, so that its evidence asks for no more than a notice and no
//! profile learns it. The counts are not saved: after a restart they begin anew.

use std::collections::HashMap;

use crate::alert::{Action, Ceiling, Restraint};
use crate::decide::{KnownKey, Moment, Occurrence, Subject};
use crate::decode::Rejection;
use crate::detect::outcome::{find_burst, unread_signal};
use crate::detect::{Signal, Thresholds};
use crate::event::{EventTime, KeyId, PartitionId};
use crate::profile::outcome::{Failure, OutcomeProfile, minute_of};

use super::failures::Failures;
use super::partition_clock::PartitionClock;
use super::shard::{Shard, Shared};

/// Keys with unread requests that are followed. Only keys that have a profile are.
const MAX_KEYS: usize = 10_000;
/// Unread requests count as failed ones, and all others as answered, whatever the API said.
const UNREAD: u16 = 400;
const READ: u16 = 200;
/// The ceiling: nothing that was not read proves a use.
const MOST: Ceiling = Ceiling { most: Action::Notify, reason: Restraint::AttemptsOnly };

/// Requests of keys with unread ones, and of all keys.
#[derive(Debug, Default)]
pub struct Unread {
    keys: HashMap<KeyId, OutcomeProfile>,
    /// The minute in which keys without recent requests were last forgotten.
    cleared: i64,
    all: Failures,
}

impl Unread {
    /// Counts a request that was read.
    pub fn count_read(&mut self, key_id: &KeyId, time: EventTime) {
        self.all.count(time, READ);
        if !self.keys.is_empty()
            && let Some(requests) = self.keys.get_mut(key_id)
        {
            requests.count(time, READ);
        }
    }

    /// Counts a request that could not be read. `learned`: the number of earlier requests of the
    /// key, all of which were read if this one is the first.
    fn count(&mut self, key_id: &KeyId, time: EventTime, learned: u32) -> Option<&OutcomeProfile> {
        self.all.count(time, UNREAD);
        if !self.keys.contains_key(key_id) {
            if !self.has_room(time) {
                return None;
            }
            self.keys.insert(key_id.clone(), OutcomeProfile::without_failures(learned));
        }
        let requests = self.keys.get_mut(key_id)?;
        requests.count(time, UNREAD);
        Some(requests)
    }

    /// Whether a further key can be followed. Once a minute, those without requests in it give way:
    /// a format that nobody reads names all keys, and none of them may push out another.
    fn has_room(&mut self, time: EventTime) -> bool {
        let minute = minute_of(time);
        if self.keys.len() >= MAX_KEYS && minute > self.cleared {
            self.cleared = minute;
            self.keys.retain(|_, requests| requests.minute() >= minute);
        }
        self.keys.len() < MAX_KEYS
    }
}

impl Shard {
    /// Counts a rejected record that names a key with a profile, and raises an incident if they are
    /// far more than usual, and more than those of other keys: a gateway that logs in another form
    /// is no sign about any key.
    pub(super) fn judge_unread(
        &mut self,
        clock: &PartitionClock,
        partition: &PartitionId,
        rejection: &Rejection,
        now: Option<EventTime>,
        shared: &mut Shared<'_>,
    ) {
        let (Some(key_id), Some(watermark)) = (&rejection.key_id, clock.watermark()) else {
            return;
        };
        let offset = rejection.position.offset;
        let is_redelivered = clock.position().is_some_and(|position| offset < position);
        let Some(kept) = self.profiles.get(key_id).filter(|_| !is_redelivered) else { return };
        let profile = &*kept.profile;
        let learned = profile.named.learned();
        let Some(requests) = self.unread.count(key_id, watermark, learned).copied() else { return };
        let elsewhere = self.unread.all.share_elsewhere(&requests, Failure::Error);
        let Some(burst) = find_burst(&requests, Failure::Error, elsewhere) else { return };
        let thresholds =
            Thresholds::new(shared.config, self.profiles.len() * shared.shards_of_fleet);
        let subject = Subject::Key(key_id.clone());
        let news_below = self.decider.news_below(&subject, burst.detector(), Some(MOST));
        if burst.p_value >= thresholds.rate || burst.p_value > news_below {
            return;
        }
        let signal = unread_signal(burst, rejection.reason.as_str(), &requests);
        let signal = Signal { ceiling: Some(MOST), ..signal };
        let occurrence = Occurrence {
            time: watermark,
            named_after: watermark,
            offset,
            known: KnownKey::new(shared.registry.get(key_id), Some(profile)),
            source_ip: None,
            affected_keys: &[],
        };
        let moment = Moment { partition, watermark, now, model_version: shared.model_version };
        let alert =
            self.decider.consider(&subject, occurrence, vec![signal], moment, shared.policy);
        shared.outcome.alerts.extend(alert);
    }
}
