//! Remembers the machines that sign a key's requests: a retry may leave by another of them.

use std::hash::BuildHasher;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::stuffing::machine_of;
use crate::event::{EventTime, HOUR_SECONDS};

/// Most machines remembered. A new one replaces the one that was used least recently.
const MOST: usize = 16;
/// A machine that the key was used from for less than this may be a thief's.
const OWN_AFTER_SECONDS: f64 = HOUR_SECONDS;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Signer {
    machine: u32,
    first_used: EventTime,
}

/// The machines that signed the latest ordinary requests of a key, least recently used first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Signers(Vec<Signer>);

impl Signers {
    /// Learns the machine of an ordinary signed request.
    pub fn learn(&mut self, ip: IpAddr, time: EventTime) {
        let machine = hash_of(ip);
        let place = self.0.iter().rposition(|it| it.machine == machine);
        match place {
            Some(place) => self.0[place..].rotate_left(1),
            None => self.admit(Signer { machine, first_used: time }),
        }
    }

    fn admit(&mut self, signer: Signer) {
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        // Most keys only ever have one machine. A vector that grows by itself reserves four.
        self.0.reserve_exact(1);
        self.0.push(signer);
    }

    /// Whether both addresses are machines that the key was already used from an hour ago.
    pub fn are_own(&self, addresses: [IpAddr; 2], time: EventTime) -> bool {
        addresses.into_iter().map(hash_of).all(|machine| {
            let is_own = |it: &Signer| {
                it.machine == machine && time.seconds_since(it.first_used) >= OWN_AFTER_SECONDS
            };
            self.0.iter().any(is_own)
        })
    }
}

/// A hash that is the same in each run, as it is saved.
fn hash_of(ip: IpAddr) -> u32 {
    (foldhash::quality::FixedState::default().hash_one(machine_of(ip)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn at(seconds: f64) -> EventTime {
        EventTime::from_seconds(1_700_000_000).plus_seconds(seconds)
    }

    #[test]
    fn a_machine_is_the_keys_own_after_an_hour() {
        let mut signers = Signers::default();
        signers.learn(machine(1), at(0.0));
        signers.learn(machine(2), at(1_800.0));
        let both = [machine(1), machine(2)];
        assert!(!signers.are_own(both, at(3_700.0)));
        assert!(signers.are_own(both, at(5_400.0)));
        assert!(!signers.are_own([machine(1), machine(3)], at(90_000.0)));
    }

    #[test]
    fn the_machine_that_was_used_least_recently_gives_way() {
        let mut signers = Signers::default();
        (0..16).for_each(|n| signers.learn(machine(n), at(f64::from(n))));
        signers.learn(machine(0), at(20.0));
        signers.learn(machine(99), at(21.0));
        let is_own = |n| signers.are_own([machine(n); 2], at(9_000.0));
        assert!(is_own(0) && !is_own(1) && is_own(2) && is_own(99));
    }
}
