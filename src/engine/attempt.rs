//! A request as an attempt of its source.

use crate::event::{AccessEvent, EnrichedEvent, PartitionId};
use crate::profile::Profile;
use crate::profile::source::Attempt;
use crate::registry::Registry;

/// Who asks and what is known of it.
pub struct Caller<'a> {
    pub partition: &'a PartitionId,
    pub enriched: &'a EnrichedEvent,
    pub key_hash: u64,
    /// `None` for a key that was never accepted.
    pub profile: Option<&'a Profile>,
    pub registry: &'a Registry,
}

/// `None` for answers that say nothing of the key: failures of the server, throttling, bad
/// requests.
pub const fn is_accepted(event: &AccessEvent) -> Option<bool> {
    match event.status {
        200..=399 => Some(true),
        401 | 403 => Some(false),
        _ => None,
    }
}

impl Caller<'_> {
    /// `None` when the answer says nothing of the key.
    pub fn attempt(&self) -> Option<Attempt> {
        let EnrichedEvent { event, position, .. } = self.enriched;
        let is_accepted = is_accepted(event)?;
        let is_at_home = self.is_at_home();
        let is_affected = !is_at_home && self.is_known();
        Some(Attempt {
            partition: self.partition.clone(),
            position: *position,
            time: event.time,
            client_ip: event.client_ip,
            key_hash: self.key_hash,
            is_accepted,
            is_refused: !is_accepted && !is_at_home,
            key_id: is_affected.then(|| event.key_id.clone()),
            tenant: if is_affected { event.tenant.clone() } else { None },
        })
    }

    /// Whether there is such a key.
    fn is_known(&self) -> bool {
        self.profile.is_some() || self.registry.get(&self.enriched.event.key_id).is_some()
    }

    /// Whether the key is used from here anyhow. In data centres neighbours are strangers,
    /// so that there only the network's own prefix counts.
    fn is_at_home(&self) -> bool {
        let ip = self.enriched.event.client_ip;
        self.profile.is_some_and(|profile| {
            if self.enriched.origin.is_hosting {
                profile.places.is_established_prefix(ip)
            } else {
                profile.places.is_established(ip, &self.enriched.origin)
            }
        })
    }
}
