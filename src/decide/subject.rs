//! What an incident is about, and what it takes from the event that shows it.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::event::{EnrichedEvent, EventTime, KeyId};
use crate::profile::source::Attempt;

/// There is at most one open incident a subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Subject {
    Key(KeyId),
    /// One address (a /64 in IPv6) or one site's network (a /24 or /48).
    Source(IpNet),
    /// Keywatch itself, or all keys at once.
    Monitor,
}

impl Subject {
    pub const fn key_id(&self) -> Option<&KeyId> {
        match self {
            Self::Key(key_id) => Some(key_id),
            Self::Source(_) | Self::Monitor => None,
        }
    }
}

/// How a title begins.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key_id) => write!(f, "Key {key_id}"),
            Self::Source(net) if net.prefix_len() == net.max_prefix_len() => {
                write!(f, "Source {}", net.addr())
            }
            Self::Source(net) => write!(f, "Source {net}"),
            Self::Monitor => f.write_str("Monitor"),
        }
    }
}

/// When and where in the log something was seen.
#[derive(Clone, Copy, Debug)]
pub struct Occurrence<'a> {
    pub time: EventTime,
    /// What the id of an incident is made of that opens here: the time, or where it is found from
    /// several partitions, of which one may be late, one that does not depend on that.
    pub named_after: EventTime,
    pub offset: i64,
    pub tenant: Option<&'a str>,
    /// Of incidents about a source: the address seen last.
    pub source_ip: Option<IpAddr>,
    /// Of incidents about a source: the keys that it tried and that exist, at most a few dozen.
    pub affected_keys: &'a [KeyId],
}

impl<'a> Occurrence<'a> {
    /// For an incident about the event's own key.
    pub fn of_key(enriched: &'a EnrichedEvent) -> Self {
        Self {
            time: enriched.event.time,
            named_after: enriched.event.time,
            offset: enriched.position.offset,
            tenant: enriched.event.tenant.as_deref(),
            source_ip: None,
            affected_keys: &[],
        }
    }

    /// For an incident about the source of an attempt.
    pub fn of_source(attempt: &Attempt, affected_keys: &'a [KeyId]) -> Self {
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
