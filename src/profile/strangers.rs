//! Remembers networks that are refused with a key, and that the key was never accepted from.

use std::hash::BuildHasher;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::stuffing::network_of;
use crate::event::{DAY_SECONDS, EventTime};

/// Most networks remembered. A new one replaces the one that was refused least.
const MOST: usize = 4;
/// Refusals are counted for so long.
const WINDOW_SECONDS: f64 = DAY_SECONDS;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Stranger {
    network: u32,
    since: EventTime,
    refused: u16,
    /// It was reported, and is not reported again for as long as it is remembered.
    is_told: bool,
}

/// Refusals of one network with one key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refusals {
    pub count: u16,
    pub since: EventTime,
    pub is_told: bool,
}

/// The networks with the most refusals. Most keys have none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Strangers(Vec<Stranger>);

impl Strangers {
    /// Counts a refused request from a network that is not the key's own.
    pub fn count(&mut self, ip: IpAddr, time: EventTime) -> Refusals {
        let network = hash_of(ip);
        let new = Stranger { network, since: time, refused: 0, is_told: false };
        let mut stranger = self.take(network).unwrap_or(new);
        if time.seconds_since(stranger.since) > WINDOW_SECONDS {
            stranger = Stranger { is_told: stranger.is_told, ..new };
        }
        stranger.refused = stranger.refused.saturating_add(1);
        if self.0.len() >= MOST {
            self.drop_least();
        }
        self.0.push(stranger);
        let Stranger { refused: count, since, is_told, .. } = stranger;
        Refusals { count, since, is_told }
    }

    /// Marks the network as reported.
    pub fn tell(&mut self, ip: IpAddr) {
        let network = hash_of(ip);
        let told = self.0.iter_mut().filter(|it| it.network == network);
        told.for_each(|it| it.is_told = true);
    }

    /// Forgets a network that the key was accepted from: its owner has set it up.
    pub fn forget(&mut self, ip: IpAddr) {
        if !self.0.is_empty() {
            self.take(hash_of(ip));
        }
    }

    /// Reported networks stay, so that nobody is reported again who lets others be refused between.
    fn drop_least(&mut self) {
        let least = self.0.iter().enumerate().min_by_key(|(_, it)| (it.is_told, it.refused));
        if let Some((place, _)) = least {
            self.0.remove(place);
        }
    }

    fn take(&mut self, network: u32) -> Option<Stranger> {
        let place = self.0.iter().position(|it| it.network == network)?;
        Some(self.0.remove(place))
    }
}

/// A hash that is the same in each run, as it is saved.
fn hash_of(ip: IpAddr) -> u32 {
    (foldhash::quality::FixedState::default().hash_one(network_of(ip)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(n: u8) -> IpAddr {
        IpAddr::from([192, 0, n, 7])
    }

    fn at(seconds: f64) -> EventTime {
        EventTime::from_seconds(1_700_000_000).plus_seconds(seconds)
    }

    #[test]
    fn refusals_of_a_network_are_counted_for_a_day() {
        let mut strangers = Strangers::default();
        assert_eq!(strangers.count(network(1), at(0.0)).count, 1);
        assert_eq!(strangers.count(network(2), at(1.0)).count, 1);
        let again = strangers.count(network(1), at(80_000.0));
        assert_eq!(again, Refusals { count: 2, since: at(0.0), is_told: false });
        strangers.tell(network(1));
        let next_day = strangers.count(network(1), at(90_000.0));
        assert_eq!(next_day, Refusals { count: 1, since: at(90_000.0), is_told: true });
    }

    #[test]
    fn a_network_that_is_accepted_is_forgotten() {
        let mut strangers = Strangers::default();
        strangers.count(network(1), at(0.0));
        strangers.forget(network(1));
        assert_eq!(strangers.count(network(1), at(1.0)).count, 1);
    }

    #[test]
    fn the_network_that_was_refused_least_gives_way_and_a_reported_one_does_not() {
        let mut strangers = Strangers::default();
        strangers.count(network(9), at(0.0));
        strangers.tell(network(9));
        for second in 1..4 {
            (1..=3).for_each(|n| _ = strangers.count(network(n), at(f64::from(second))));
        }
        (20..60).for_each(|n| _ = strangers.count(network(n), at(9.0)));
        assert_eq!(strangers.count(network(9), at(10.0)).count, 2);
        let kept = [1, 2, 3].map(|n| strangers.count(network(n), at(11.0)).count);
        assert_eq!(kept.iter().filter(|count| **count == 4).count(), 2, "{kept:?}");
    }
}
