//! Defines the subject of an incident, and the occurrence that shows it.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::event::{EnrichedEvent, EventTime, KeyId};
use crate::profile::stuffing::SourceAttempt;

/// The subject of an incident: it has at most one open incident.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Subject {
    Key(KeyId),
    /// One address (a /64 in IPv6), or one network (a /24 or /48).
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
            Self::Source(net) => write!(f, "Source {net}"),
        }
    }
}

/// Time and log position of an event that is evidence.
#[derive(Clone, Copy, Debug)]
pub struct Occurrence<'a> {
    pub time: EventTime,
    /// The time that becomes part of the id of an incident that opens here. It is the event's time,
    /// or, when several partitions show the incident, a time that does not depend on which
    /// partition is late.
    pub named_after: EventTime,
    pub offset: i64,
    pub tenant: Option<&'a str>,
    /// The address seen last, for incidents about a source.
    pub source_ip: Option<IpAddr>,
    /// The existing keys that the source tried, at most a few dozen, for incidents about a source.
    pub affected_keys: &'a [KeyId],
}

impl<'a> Occurrence<'a> {
    /// An occurrence for an incident about the event's own key. `tenant` is a fact about the key,
    /// and not the claim of the request.
    pub fn of_key(enriched: &'a EnrichedEvent, tenant: Option<&'a str>) -> Self {
        Self {
            time: enriched.event.time,
            named_after: enriched.event.time,
            offset: enriched.position.offset,
            tenant,
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
            tenant: None,
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
