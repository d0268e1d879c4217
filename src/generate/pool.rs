//! Models many callers behind one key: users of an app, machines of a cloud, exits of a relay.

use std::sync::Arc;

use rand::RngExt;

use super::places::Place;
use super::random::{Random, scramble};
use super::season::Season;
use super::site::Site;
use super::whereabouts::Caller;
use crate::event::EventTime;

const HOSTS_V4: u64 = 252;

/// A few callers at a time, out of many. The pool is stateless: the caller at a seat follows from
/// the seed, the seat and the time.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    /// Networks with their weights, never empty.
    places: Arc<[(&'static Place, f64)]>,
    /// Number of callers at the same time.
    pub seats: u64,
    /// Seconds for which a caller keeps its seat.
    pub stay_seconds: f64,
    /// Number of different callers; `u64::MAX` for machines that never return.
    pub members: u64,
    /// Seconds after which a caller changes its network (Wi-Fi, carrier), mostly back and forth
    /// between two; `None` for machines.
    pub roams_seconds: Option<i64>,
    /// A season in which busy hours have more callers.
    pub busy: Option<Season>,
    seed: u64,
}

impl Pool {
    pub fn new(
        places: Vec<(&'static Place, f64)>,
        seats: u64,
        stay_seconds: f64,
        members: u64,
        random: &mut Random,
    ) -> Self {
        Self {
            places: places.into(),
            seats,
            stay_seconds,
            members,
            roams_seconds: None,
            busy: None,
            seed: random.random(),
        }
    }

    pub fn home(&self) -> Site {
        Site::neighbour(self.places[0].0)
    }

    pub fn caller(&self, time: EventTime, random: &mut Random) -> Caller {
        let member = self.member(random.random_range(0..self.seats_at(time)), time);
        let who = scramble(self.seed ^ scramble(member));
        let network = self.network(who, time);
        let place = self.place(network);
        let host = if place.is_v4() {
            u128::from(2 + scramble(network ^ who) % HOSTS_V4)
        } else {
            // Each subscriber has its own /64 and a new interface identifier every day (RFC 8981).
            let day = time.as_micros().div_euclid(86_400_000_000) as u64;
            (u128::from(who & 0xffff) << 64) | u128::from(scramble(who ^ day))
        };
        Caller { address: place.address(host), member }
    }

    fn seats_at(&self, time: EventTime) -> u64 {
        let factor = self.busy.as_ref().map_or(1.0, |season| season.factor(time));
        ((self.seats as f64 * factor) as u64).max(1)
    }

    /// Picks the caller at a seat. A few members call most: the density falls with the square root
    /// of the rank.
    fn member(&self, seat: u64, time: EventTime) -> u64 {
        let since = time.as_seconds() / self.stay_seconds + unit(scramble(self.seed ^ seat));
        let draw = scramble(self.seed ^ scramble((seat << 40) ^ since as u64));
        if self.members == u64::MAX {
            return draw;
        }
        (unit(draw).powi(2) * self.members as f64) as u64
    }

    /// A number that decides a caller's network and address within it.
    fn network(&self, who: u64, time: EventTime) -> u64 {
        let Some(every) = self.roams_seconds else { return scramble(who) };
        let spell = time.as_micros().div_euclid(every * 1_000_000) as u64;
        match scramble(who ^ spell) % 20 {
            0..10 => scramble(who ^ 1),
            10..19 => scramble(who ^ 2),
            _ => scramble(who ^ scramble(spell)),
        }
    }

    fn place(&self, network: u64) -> &'static Place {
        let total: f64 = self.places.iter().map(|(_, weight)| weight).sum();
        let mut left = unit(network) * total;
        for (place, weight) in &*self.places {
            left -= weight;
            if left < 0.0 {
                return place;
            }
        }
        self.places[self.places.len() - 1].0
    }
}

/// A number in [0, 1), from the upper bits.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::places::{NetworkKind, places_where};
    use super::super::random::stream;
    use super::*;

    fn pool(members: u64, stay_seconds: f64) -> Pool {
        let places = places_where(|p| p.country == "US" && p.kind == NetworkKind::Residential);
        let weighted = places.into_iter().map(|place| (place, 1.0)).collect();
        Pool::new(weighted, 8, stay_seconds, members, &mut stream(3, 0))
    }

    fn callers(pool: &Pool, seconds: i64) -> Vec<Caller> {
        let mut random = stream(4, 0);
        let at = |second| EventTime::from_seconds(1_767_600_000 + second);
        (0..seconds).map(|second| pool.caller(at(second), &mut random)).collect()
    }

    #[test]
    fn few_callers_at_a_time_and_many_in_all() {
        let callers = callers(&pool(5_000, 180.0), 86_400);
        let distinct =
            |part: &[Caller]| part.iter().map(|c| c.member).collect::<HashSet<_>>().len();
        assert!(distinct(&callers[..60]) <= 16);
        assert!(distinct(&callers) > 1_500, "{}", distinct(&callers));
    }

    #[test]
    fn machines_never_come_again() {
        let callers = callers(&pool(u64::MAX, 600.0), 86_400);
        let first: HashSet<_> = callers[..3_600].iter().map(|c| c.member).collect();
        assert!(callers[7_200..].iter().all(|caller| !first.contains(&caller.member)));
    }

    #[test]
    fn a_member_keeps_its_address_unless_it_roams() {
        let callers = callers(&pool(50, 180.0), 20_000);
        let mut addresses = std::collections::HashMap::new();
        for caller in callers {
            let known = *addresses.entry(caller.member).or_insert(caller.address);
            if known.is_ipv4() {
                assert_eq!(known, caller.address);
            }
        }
    }
}
