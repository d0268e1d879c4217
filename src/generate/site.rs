//! Models one network from which a client calls, and how its address changes there.

use std::net::IpAddr;

use rand::RngExt;

use super::places::Place;
use super::random::{Random, scramble};
use crate::event::EventTime;

/// The client's own hosts have numbers below this. The rest of a /24 is then free for neighbours,
/// and the lower /25 can be an allowlist.
pub(super) const OWN_HOSTS: u64 = 128;

/// How a client's address changes within its network.
#[derive(Clone, Copy, Debug)]
pub(super) enum Addressing {
    /// A fixed set of machines.
    Hosts { first: u64, count: u64 },
    /// Any address of the upper half of the prefix.
    Neighbour,
    /// DHCP, carrier-grade NAT or IPv6 privacy extensions (RFC 8981): a new address within the
    /// prefix at this interval in seconds.
    Rotating { subscriber: u64, every_seconds: i64 },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Site {
    pub place: &'static Place,
    pub addressing: Addressing,
}

impl Site {
    /// A few fixed machines.
    pub fn hosts(place: &'static Place, count: u64, random: &mut Random) -> Self {
        let first = random.random_range(4..OWN_HOSTS - count);
        Self { place, addressing: Addressing::Hosts { first, count } }
    }

    /// One machine that does not belong to the key.
    pub fn stranger(place: &'static Place, random: &mut Random) -> Self {
        let first = random.random_range(OWN_HOSTS + 1..250);
        Self { place, addressing: Addressing::Hosts { first, count: 1 } }
    }

    pub fn rotating(place: &'static Place, every_seconds: i64, random: &mut Random) -> Self {
        Self {
            place,
            addressing: Addressing::Rotating { subscriber: random.random(), every_seconds },
        }
    }

    pub fn neighbour(place: &'static Place) -> Self {
        Self { place, addressing: Addressing::Neighbour }
    }

    pub fn address(&self, time: EventTime, random: &mut Random) -> IpAddr {
        self.place.address(match self.addressing {
            Addressing::Hosts { first, count } => u128::from(first + random.random_range(0..count)),
            Addressing::Neighbour => u128::from(random.random_range(OWN_HOSTS + 1..250)),
            Addressing::Rotating { subscriber, every_seconds } => {
                self.rotated(subscriber, time.as_micros() / (every_seconds * 1_000_000))
            }
        })
    }

    /// IPv6 subscribers keep their /64 and change the interface identifier.
    fn rotated(&self, subscriber: u64, period: i64) -> u128 {
        let drawn = scramble(subscriber ^ scramble(period as u64));
        if self.place.is_v4() {
            u128::from(2 + drawn % (OWN_HOSTS - 2))
        } else {
            (u128::from(subscriber & 0xffff) << 64) | u128::from(drawn)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::places::PLACES;
    use super::super::random::stream;
    use super::*;

    #[test]
    fn a_rotating_address_changes_and_keeps_its_network() {
        let mut random = stream(1, 0);
        for place in PLACES.iter() {
            let site = Site::rotating(place, 3_600, &mut random);
            let mut addresses: Vec<_> = (0..48)
                .map(|hour| site.address(EventTime::from_seconds(hour * 3_600), &mut random))
                .collect();
            assert!(addresses.iter().all(|address| place.prefix.contains(address)));
            addresses.dedup();
            assert!(addresses.len() > 40, "{addresses:?}");
        }
    }
}
