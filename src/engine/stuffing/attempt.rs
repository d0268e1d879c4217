//! Describes a request as an attempt of its source.

use crate::answer::Answer;
use crate::decide::KnownKey;
use crate::event::{AccessEvent, DAY_SECONDS, EnrichedEvent, EventTime, PartitionId};
use crate::profile::Profile;
use crate::profile::stuffing::SourceAttempt;
use crate::proof::Standing;
use crate::registry::Registry;

/// A request, with what is known of its key.
pub struct Caller<'a> {
    pub partition: &'a PartitionId,
    pub enriched: &'a EnrichedEvent,
    pub standing: &'a Standing<'a>,
    pub key_hash: u64,
    /// `None` for a key that was never accepted.
    pub profile: Option<&'a Profile>,
    pub registry: &'a Registry,
}

/// Whether a request proves use of its key (true) or was refused (false). `None` for attempts whose
/// answer says nothing about the key: server errors, throttling, bad requests.
pub fn is_accepted(standing: &Standing<'_>) -> Option<bool> {
    match standing {
        Standing::Accepted(_) => Some(true),
        Standing::Attempt(attempt) => is_refused(attempt.event()).then_some(false),
    }
}

/// Whether the API refused the request for its key.
pub fn is_refused(event: &AccessEvent) -> bool {
    event.authenticated == Some(false) || event.answer() == Answer::Refused
}

impl Caller<'_> {
    /// The request as an attempt; `None` when the answer says nothing about the key, and for traps,
    /// whose incidents say more.
    pub fn attempt(&self) -> Option<SourceAttempt> {
        let EnrichedEvent { event, position, .. } = self.enriched;
        let is_accepted = is_accepted(self.standing)?;
        if self.registry.canary(&event.key_id).is_some() {
            return None;
        }
        let is_at_home = self.is_at_home();
        let is_affected = !is_at_home && self.is_known();
        Some(SourceAttempt {
            partition: self.partition.clone(),
            position: *position,
            time: event.time,
            client_ip: event.client_ip,
            key_hash: self.key_hash,
            is_accepted,
            is_refused: !is_accepted && !is_at_home,
            key_id: is_affected.then(|| event.key_id.clone()),
            tenant: if is_affected { self.tenant().map(Into::into) } else { None },
        })
    }

    pub fn is_settled(&self) -> bool {
        self.profile.is_some_and(|profile| is_settled(profile, self.enriched.event.time))
    }

    /// The key's tenant as a fact, and not as the request claims it.
    fn tenant(&self) -> Option<&str> {
        let registered = self.registry.get(&self.enriched.event.key_id);
        KnownKey::new(registered, self.profile).tenant()
    }

    /// Whether the key exists.
    fn is_known(&self) -> bool {
        self.profile.is_some() || self.registry.get(&self.enriched.event.key_id).is_some()
    }

    /// Whether the key is established at this address. In data centres neighbours are strangers, so
    /// that only the site prefix counts there.
    fn is_at_home(&self) -> bool {
        let ip = self.enriched.event.client_ip;
        self.profile.is_some_and(|profile| {
            if self.enriched.origin.kind.is_rented() {
                profile.places.is_established_prefix(ip)
            } else {
                profile.places.is_established(ip, &self.enriched.origin)
            }
        })
    }
}

/// Whether the key has had a day to show its own places.
pub fn is_settled(profile: &Profile, time: EventTime) -> bool {
    time.seconds_since(profile.first_seen) >= DAY_SECONDS
}
