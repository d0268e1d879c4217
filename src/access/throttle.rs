//! Limits how often somebody may try to log in.
//!
//! Each address and each name has a bucket of tries that refills. The bucket of a name refills
//! faster than that of an address: one address alone cannot keep a person from logging in.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use indexmap::IndexMap;

/// Buckets that are remembered; of more, the oldest is forgotten.
const MOST_BUCKETS: usize = 4_096;

struct Limit {
    burst: f64,
    refill: Duration,
}

const OF_ADDRESS: Limit = Limit { burst: 20.0, refill: Duration::from_secs(5) };
const OF_NAME: Limit = Limit { burst: 60.0, refill: Duration::from_secs(2) };

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Address(IpAddr),
    Name(String),
}

/// What is left of the tries of one subject.
struct Bucket {
    left: f64,
    at: Instant,
}

#[derive(Default)]
pub struct Throttle(IndexMap<Subject, Bucket>);

impl Throttle {
    /// Takes a try from both buckets, if both have one.
    pub fn admits(&mut self, address: Option<IpAddr>, name: &str, now: Instant) -> bool {
        let of_address = address.map(|address| (Subject::Address(network(address)), OF_ADDRESS));
        let subjects = of_address.into_iter().chain([(Subject::Name(name.to_owned()), OF_NAME)]);
        // The bucket of a name is not touched by an address that has no tries left.
        subjects.into_iter().all(|(subject, limit)| self.take(subject, &limit, now))
    }

    fn take(&mut self, subject: Subject, limit: &Limit, now: Instant) -> bool {
        if !self.0.contains_key(&subject) && self.0.len() >= MOST_BUCKETS {
            self.0.shift_remove_index(0);
        }
        let full = Bucket { left: limit.burst, at: now };
        let bucket = self.0.entry(subject).or_insert(full);
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.left = (bucket.left + passed / limit.refill.as_secs_f64()).min(limit.burst);
        bucket.at = now;
        let has_one = bucket.left >= 1.0;
        if has_one {
            bucket.left -= 1.0;
        }
        has_one
    }
}

/// One customer has a whole /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn an_address_has_few_tries_and_more_later() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let tries = (0..100).filter(|_| throttle.admits(ip(1), "alice", now)).count();
        assert_eq!(tries, 20);
        assert!(throttle.admits(ip(2), "alice", now), "another address has its own");
        assert!(throttle.admits(ip(1), "alice", now + Duration::from_secs(6)));
    }

    #[test]
    fn one_address_cannot_lock_a_name_and_many_addresses_cannot_guess_fast() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for second in 0..3_600 {
            throttle.admits(ip(1), "alice", now + Duration::from_secs(second));
        }
        assert!(throttle.admits(ip(2), "alice", now + Duration::from_secs(3_600)));
        let tries = (0..=255).filter(|last| throttle.admits(ip(*last), "bob", now)).count();
        assert_eq!(tries, 60);
    }

    #[test]
    fn memory_is_bounded() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for number in 0..10_000 {
            throttle.admits(None, &number.to_string(), now);
        }
        assert_eq!(throttle.0.len(), MOST_BUCKETS);
    }
}
