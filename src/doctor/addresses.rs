//! Tells whether the addresses of a log are those of clients or of proxies.

use std::collections::HashMap;
use std::net::IpAddr;

/// Above this share of private addresses, a proxy stands in front.
const PRIVATE_SHARE: f64 = 0.95;
/// Addresses through which all requests of many keys come are those of proxies.
const FEW_ADDRESSES: usize = 4;
const MANY_KEYS: usize = 20;
/// Addresses that a proposal names.
const PROPOSED: usize = 3;

/// The addresses of a sample.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    events: u64,
    private: u64,
    by_address: HashMap<IpAddr, u64>,
    /// Events in which the header names another client than the log, if every proxy is believed.
    forwarded: u64,
    /// Events of which that is known.
    tried: u64,
}

/// Who is in front of the gateway.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Front {
    Clients,
    /// Most addresses are private.
    Private,
    /// All requests come through few public addresses.
    Few,
}

impl Addresses {
    pub fn count(&mut self, address: IpAddr) {
        self.events += 1;
        self.private += u64::from(is_private(address));
        *self.by_address.entry(address).or_default() += 1;
    }

    /// Counts an event of which the address behind the proxy is known too.
    pub fn compare(&mut self, address: IpAddr, behind: IpAddr) {
        self.tried += 1;
        self.forwarded += u64::from(address != behind);
    }

    pub fn private_share(&self) -> f64 {
        self.private as f64 / self.events.max(1) as f64
    }

    /// The share of events in which a header names the client.
    pub fn forwarded_share(&self) -> f64 {
        self.forwarded as f64 / self.tried.max(1) as f64
    }

    pub fn number(&self) -> usize {
        self.by_address.len()
    }

    pub fn front(&self, keys: usize) -> Front {
        if self.private_share() >= PRIVATE_SHARE {
            Front::Private
        } else if keys >= MANY_KEYS && self.number() <= FEW_ADDRESSES {
            Front::Few
        } else {
            Front::Clients
        }
    }

    /// The addresses that most requests come from, the most frequent first.
    pub fn most_frequent(&self) -> Vec<IpAddr> {
        let mut addresses: Vec<(&IpAddr, &u64)> = self.by_address.iter().collect();
        addresses.sort_by_key(|(address, count)| (u64::MAX - **count, **address));
        addresses.into_iter().take(PROPOSED).map(|(address, _)| *address).collect()
    }
}

/// Whether the address is one of a network behind a router: private, loopback, link-local or
/// shared (RFC 1918, RFC 4193, RFC 6598).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let is_shared = first == 100 && second & 0xc0 == 64;
            address.is_private() || address.is_loopback() || address.is_link_local() || is_shared
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}
