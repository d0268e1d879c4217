//! Where a key's requests come from, and how that changes.

use std::net::IpAddr;

use rand::RngExt;

use super::places::Place;
use super::random::{Random, scramble};
use crate::event::EventTime;

/// Own hosts have numbers below this, so that the rest of a /24 is free for
/// neighbours, and the lower /25 can be an allowlist.
pub(super) const OWN_HOSTS: u64 = 128;

/// Cruising speed of an airliner, with time on the ground added apart.
const FLIGHT_KM_PER_HOUR: f64 = 800.0;
const AIRPORT_SECONDS: f64 = 2.5 * 3_600.0;

/// How a client's address behaves within its network.
#[derive(Clone, Copy, Debug)]
pub(super) enum Addressing {
    /// A fixed set of machines.
    Hosts { first: u64, count: u64 },
    /// Any address of the upper half of the prefix.
    Neighbour,
    /// DHCP, carrier-grade NAT or IPv6 privacy extensions (RFC 8981): a new
    /// address within the prefix every so many seconds.
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

    /// One machine that is none of the key's own.
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

#[derive(Clone, Debug)]
pub(super) enum Whereabouts {
    Fixed(Site),
    /// Several sites at once, the first the busiest.
    Fleet(Vec<Site>),
    /// A telephone between the mobile network and the Wi-Fi at home.
    Roaming {
        mobile: Site,
        home: Site,
        seed: u64,
    },
    /// Two cities in turn, with the time of a flight between them.
    Commuting {
        cities: [Site; 2],
        since: EventTime,
        stay_seconds: f64,
    },
    /// At one site until an instant, at another from then on.
    Moved {
        before: Site,
        after: Site,
        at: EventTime,
    },
}

impl Whereabouts {
    /// The site of a request at `time`; `None` in the air.
    pub fn site(&self, time: EventTime, random: &mut Random) -> Option<&Site> {
        match self {
            Self::Fixed(site) => Some(site),
            Self::Fleet(sites) => {
                let (one, other) = (random.random::<f64>(), random.random::<f64>());
                Some(&sites[(one * other.sqrt() * sites.len() as f64) as usize])
            }
            Self::Roaming { mobile, home, seed } => {
                let half_hour = time.as_micros().div_euclid(1_800_000_000) as u64;
                let at_home = scramble(seed ^ half_hour) % 5 < 3;
                Some(if at_home { home } else { mobile })
            }
            Self::Commuting { cities, since, stay_seconds } => {
                commuter_city(cities, time.seconds_since(*since), *stay_seconds)
            }
            Self::Moved { before, after, at } => Some(if time < *at { before } else { after }),
        }
    }

    /// Where the key is at home: its first site.
    pub fn home(&self) -> &Site {
        match self {
            Self::Fixed(site) => site,
            Self::Fleet(sites) => &sites[0],
            Self::Roaming { home, .. } => home,
            Self::Commuting { cities, .. } => &cities[0],
            Self::Moved { before, .. } => before,
        }
    }
}

/// Seconds from door to door.
pub(super) fn journey_seconds(from: &Place, to: &Place) -> f64 {
    from.distance_km(to) / FLIGHT_KM_PER_HOUR * 3_600.0 + AIRPORT_SECONDS
}

fn commuter_city(cities: &[Site; 2], elapsed: f64, stay: f64) -> Option<&Site> {
    let leg = stay + journey_seconds(cities[0].place, cities[1].place);
    let within = elapsed.rem_euclid(2.0 * leg);
    let (city, since_arrival) = if within < leg { (0, within) } else { (1, within - leg) };
    (since_arrival < stay).then_some(&cities[city])
}

#[cfg(test)]
mod tests {
    use super::super::places::{PLACES, places_where};
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

    #[test]
    fn a_commuter_never_beats_an_airliner() {
        let mut random = stream(2, 0);
        let london = places_where(|place| place.city == "London" && place.is_v4())[0];
        let madrid = places_where(|place| place.city == "Madrid")[0];
        let cities = [london, madrid].map(|place| Site::hosts(place, 1, &mut random));
        let since = EventTime::from_seconds(0);
        let commuter = Whereabouts::Commuting { cities, since, stay_seconds: 30_000.0 };
        let mut last: Option<(i64, &Place)> = None;
        let mut flights = 0;
        for second in (0..1_000_000).step_by(60) {
            let time = EventTime::from_seconds(second);
            let Some(site) = commuter.site(time, &mut random) else { continue };
            if let Some((before, place)) = last.filter(|(_, place)| place.city != site.place.city) {
                let hours = (second - before) as f64 / 3_600.0;
                assert!(place.distance_km(site.place) / hours < 800.0);
                flights += 1;
            }
            last = Some((second, site.place));
        }
        assert!(flights > 10);
    }
}
