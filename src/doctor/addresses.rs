//! Tells whether the addresses of a log are those of clients or of proxies.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;

/// Above this share of private addresses, a proxy stands in front.
const PRIVATE_SHARE: f64 = 0.95;
/// Addresses through which all requests of many keys come are those of proxies.
const FEW_ADDRESSES: usize = 4;
const MANY_KEYS: usize = 20;
/// Networks that a proposal names.
const PROPOSED: usize = 4;

/// The addresses of a sample.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    events: u64,
    private: u64,
    distinct: HashSet<IpAddr>,
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
        self.distinct.insert(address);
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
        self.distinct.len()
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

    /// The private addresses as a short list: themselves, or the networks that hold them. A public
    /// address is never proposed: anybody can put one into the log.
    pub fn networks(&self) -> Vec<String> {
        let mut networks = Vec::new();
        let private: Vec<IpAddr> =
            self.distinct.iter().copied().filter(|address| is_private(*address)).collect();
        for prefixes in [(32, 128), (24, 64), (16, 48)] {
            let unique: BTreeSet<IpNet> =
                private.iter().filter_map(|it| network(*it, prefixes)).collect();
            networks = unique.into_iter().map(shown).collect();
            if networks.len() <= PROPOSED {
                return networks;
            }
        }
        networks.truncate(PROPOSED);
        networks.push("...".into());
        networks
    }
}

fn network(address: IpAddr, (v4, v6): (u8, u8)) -> Option<IpNet> {
    let prefix = if address.is_ipv4() { v4 } else { v6 };
    IpNet::new(address, prefix).ok().map(|network| network.trunc())
}

/// A network, or the address if it is of one.
fn shown(network: IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.to_string()
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
