//! Holds the networks that a key may be used from, sorted for a search in logarithmic time.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Networks in order, of which none contains another. A binary search thus needs to look at one
/// network alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<IpNet>")]
pub struct Networks(Vec<IpNet>);

impl From<Vec<IpNet>> for Networks {
    fn from(networks: Vec<IpNet>) -> Self {
        let mut networks: Vec<IpNet> = networks.iter().map(IpNet::trunc).collect();
        // A network comes right before those that it contains: its address is the lowest of all,
        // and its prefix the shortest.
        networks.sort_unstable_by_key(|net| (net.network(), net.prefix_len()));
        networks.dedup_by(|later, earlier| earlier.contains(&*later));
        Self(networks)
    }
}

impl Networks {
    pub fn contains(&self, address: IpAddr) -> bool {
        let after = self.0.partition_point(|net| net.network() <= address);
        after.checked_sub(1).is_some_and(|place| self.0[place].contains(&address))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_slice(&self) -> &[IpNet] {
        &self.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use ipnet::{Ipv4Net, Ipv6Net};
    use proptest::prelude::*;

    use super::*;

    fn network() -> impl Strategy<Value = IpNet> {
        // Few distinct addresses, so that networks often contain each other.
        let v4 = (0..64u32, 20..=32u8).prop_map(|(bits, length)| {
            Ipv4Net::new(Ipv4Addr::from_bits(0x0a00_0000 | (bits << 8)), length).unwrap().into()
        });
        let v6 = (0..64u128, 100..=128u8).prop_map(|(bits, length)| {
            Ipv6Net::new(Ipv6Addr::from_bits((0x2001_0db8 << 96) | (bits << 20)), length)
                .unwrap()
                .into()
        });
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn the_search_finds_what_a_scan_finds(
            networks in prop::collection::vec(network(), 0..40), probes in prop::collection::vec(network(), 1..20)
        ) {
            let sorted = Networks::from(networks.clone());
            for probe in probes {
                for address in [probe.addr(), probe.network(), probe.broadcast()] {
                    let scanned = networks.iter().any(|net| net.contains(&address));
                    prop_assert_eq!(sorted.contains(address), scanned, "{}", address);
                }
            }
        }
    }
}
