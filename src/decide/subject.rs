//! Defines the subject of an incident, and the occurrence that shows it.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::alert::KeyTraits;
use crate::event::{EnrichedEvent, EventTime, KeyId};
use crate::profile::Profile;
use crate::profile::stuffing::SourceAttempt;
use crate::registry::RegisteredKey;

/// The subject of an incident: it has at most one open incident.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Subject {
    Key(KeyId),
    /// One address (a /64 in IPv6), one network (a /24 or /48), or many networks (`0.0.0.0/0`).
    Source(IpNet),
}

impl Subject {
    pub const fn key_id(&self) -> Option<&KeyId> {
        match self {
            Self::Key(key_id) => Some(key_id),
            Self::Source(_) => None,
        }
    }
}

/// The beginning of an alert's title.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key_id) => write!(f, "Key {key_id}"),
            Self::Source(net) if net.prefix_len() == net.max_prefix_len() => {
                write!(f, "Source {}", net.addr())
            }
            Self::Source(net) if net.prefix_len() == 0 => write!(f, "Many sources"),
            Self::Source(net) => write!(f, "Source {net}"),
        }
    }
}

/// What is known of a key: its registration, and what its proven uses have taught.
#[derive(Clone, Copy, Default)]
pub struct KnownKey<'a> {
    pub registered: Option<&'a RegisteredKey>,
    pub profile: Option<&'a Profile>,
    /// The tenant as another partition told it.
    pub told_tenant: Option<&'a str>,
}

impl<'a> KnownKey<'a> {
    pub const fn new(registered: Option<&'a RegisteredKey>, profile: Option<&'a Profile>) -> Self {
        Self { registered, profile, told_tenant: None }
    }

    /// The key's tenant: as registered, else that of the key's last proven use.
    pub fn tenant(&self) -> Option<&'a str> {
        let registered = self.registered.map(|key| key.tenant.as_str());
        let learned = || self.profile.and_then(|profile| profile.facts.tenant.as_deref());
        registered.filter(|tenant| !tenant.is_empty()).or_else(learned).or(self.told_tenant)
    }

    /// The traits of the key by which rules of the policy match: as registered, else learned.
    pub fn traits(&self) -> KeyTraits {
        let learned = self.profile.map(|profile| KeyTraits {
            environment: profile.facts.environment.as_deref().unwrap_or_default().to_owned(),
            requests_per_day: profile.rate.per_day().round() as u64,
            ..KeyTraits::default()
        });
        self.registered_traits().or_else(&learned.unwrap_or_default())
    }

    /// The traits that the registry names; the traffic is not among them.
    pub fn registered_traits(&self) -> KeyTraits {
        let Some(key) = self.registered else { return KeyTraits::default() };
        KeyTraits {
            environment: key.environment.to_string(),
            class: key.class.to_string(),
            tags: key.tags.iter().map(ToString::to_string).collect(),
            requests_per_day: 0,
        }
    }
}

/// Time and log position of an event that is evidence.
#[derive(Clone, Copy)]
pub struct Occurrence<'a> {
    pub time: EventTime,
    /// The time that becomes part of the id of an incident that opens here. It is the event's time,
    /// or, when several partitions show the incident, a time that does not depend on which
    /// partition is late.
    pub named_after: EventTime,
    pub offset: i64,
    /// The key that the incident is about, as far as it is known before this event.
    pub known: KnownKey<'a>,
    /// The address seen last, for incidents about a source.
    pub source_ip: Option<IpAddr>,
    /// The existing keys that the source tried, at most a few dozen, for incidents about a source.
    pub affected_keys: &'a [KeyId],
}

impl<'a> Occurrence<'a> {
    /// An occurrence for an incident about the event's own key. `known` are facts about the key, and
    /// not the claims of the request.
    pub fn of_key(enriched: &'a EnrichedEvent, known: KnownKey<'a>) -> Self {
        Self {
            time: enriched.event.time,
            named_after: enriched.event.time,
            offset: enriched.position.offset,
            known,
            source_ip: None,
            affected_keys: &[],
        }
    }

    /// An occurrence for an incident about the source of an attempt.
    pub fn of_source(attempt: &SourceAttempt, affected_keys: &'a [KeyId]) -> Self {
        Self {
            time: attempt.time,
            named_after: attempt.time,
            offset: attempt.position.offset,
            known: KnownKey::default(),
            source_ip: Some(attempt.client_ip),
            affected_keys,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_title_names_an_address_without_a_prefix_length_and_a_network_with_one() {
        let source = |net: &str| Subject::Source(net.parse().unwrap()).to_string();
        assert_eq!(source("192.0.2.7/32"), "Source 192.0.2.7");
        assert_eq!(source("192.0.2.0/24"), "Source 192.0.2.0/24");
        assert_eq!(source("2001:db8:1:2::/64"), "Source 2001:db8:1:2::/64");
    }
}
