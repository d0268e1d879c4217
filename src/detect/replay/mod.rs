//! Finds requests that are sent again, sent late, or have nonces that do not fit the key. Each sign
//! has one file.

pub mod duplicate;
pub mod order;
pub mod stale;
pub mod twice;
pub mod weak;

use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::answer::{Answer, invites_retry};
use crate::event::{AccessEvent, EventTime, Fingerprint, RecordPosition, SitePrefix};
use crate::profile::Signers;
use crate::profile::nonce::Again;

/// P-value of a fact that is reported with low severity, so that it wakes nobody.
pub const MILD: f64 = 5e-3;

/// The first request that carried a nonce.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct FirstUse {
    pub time: EventTime,
    pub ip: IpAddr,
    /// The number of its network (AS). Zero if it is not known.
    pub asn: u32,
    pub status: u16,
    /// Time until the answer, in milliseconds, up to the largest number. Zero if it is not known.
    pub latency_ms: u16,
    pub position: RecordPosition,
    pub signed: Signed,
}

/// The latency of a request as [`FirstUse`] has it.
pub fn rounded_latency(latency_ms: Option<f32>) -> u16 {
    // Such a conversion ends at the bounds of the integer.
    latency_ms.unwrap_or_default() as u16
}

/// Hashes (32 bits) of the signed values of a request. Zero stands for a missing value.
///
/// Two different requests seldom have the same hashes, and an attacker gains nothing by making them
/// collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    method_and_path: u32,
    client_time: u32,
    signature: u32,
}

impl Signed {
    pub fn of(event: &AccessEvent) -> Self {
        Self::new(&event.method, &event.path, event.client_time, event.signature)
    }

    pub fn new(
        method: &str,
        path: &str,
        client_time: Option<EventTime>,
        signature: Option<Fingerprint>,
    ) -> Self {
        Self {
            method_and_path: short_hash((method, path)),
            client_time: client_time.map_or(0, |time| short_hash(time.as_micros())),
            signature: signature.map_or(0, |signature| short_hash(signature.0)),
        }
    }

    /// Whether the event has the same signature, which nobody knows who did not see it.
    pub fn has_signature_of(self, event: &AccessEvent) -> bool {
        self.signature != 0 && self.signature == Self::of(event).signature
    }

    /// Whether two requests are the same: by their signatures if both have one, else by the other
    /// values.
    pub fn is_same(self, other: Self) -> bool {
        let agree = |a: u32, b: u32| a == 0 || b == 0 || a == b;
        if self.signature != 0 && other.signature != 0 {
            self.signature == other.signature
        } else {
            self.method_and_path == other.method_and_path
                && agree(self.client_time, other.client_time)
        }
    }
}

fn short_hash(value: impl Hash) -> u32 {
    // Any half of this hash is as good as the other.
    ((foldhash::quality::FixedState::default().hash_one(value) >> 32) as u32).max(1)
}

/// A client repeats a failed request within this time, perhaps from another address of its network.
const RETRY_SECONDS: f64 = 120.0;
/// If the failure is not visible (the answer was lost), the client repeats at once.
const BLIND_RETRY_SECONDS: f64 = 15.0;

/// Whether a repeated nonce is only a client's retry. It may leave by another of the key's own
/// machines: several workers share a queue, or several addresses an exit.
pub fn is_retry(event: &AccessEvent, first: &FirstUse, signers: &Signers) -> bool {
    let gap = event.time.seconds_since(first.time).abs();
    if invites_retry(first.status) && gap <= RETRY_SECONDS {
        return is_neighbour(event, first) || is_same_client(event, first, signers);
    }
    let most = if gave_up(event, first) { RETRY_SECONDS } else { BLIND_RETRY_SECONDS };
    gap <= most && is_same_client(event, first, signers)
}

/// A client that waits less for an answer has hardly given up.
const PATIENCE_SECONDS: f64 = 2.0;
/// An answer takes this long to be logged, or to arrive.
const ON_THE_WAY_SECONDS: f64 = 1.0;

/// Whether one of the two requests was sent while the other waited for its answer, and had waited
/// for long: the client gave up and tried again. The slow one is often logged last.
fn gave_up(event: &AccessEvent, first: &FirstUse) -> bool {
    let gap = event.time.seconds_since(first.time);
    let of_the_earlier = match gap >= 0.0 {
        true => first.latency_ms,
        false => rounded_latency(event.latency_ms),
    };
    let waited = f64::from(of_the_earlier) / 1_000.0;
    gap.abs() >= PATIENCE_SECONDS && gap.abs() <= waited + ON_THE_WAY_SECONDS
}

/// Safe methods do no harm twice (RFC 9110, section 9.2.1).
fn is_safe(event: &AccessEvent) -> bool {
    matches!(&*event.method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
}

/// Whether the API accepted the same request twice, and the request changes something. A client that
/// gave up has not seen the first answer.
pub fn is_accepted_twice(event: &AccessEvent, first: &FirstUse) -> bool {
    !gave_up(event, first)
        && !is_safe(event)
        && event.answer() == Answer::Accepted
        && Answer::of(first.status) == Answer::Accepted
}

/// Whether both requests came from one machine, or each from a machine of the key's own.
pub fn is_same_client(event: &AccessEvent, first: &FirstUse, signers: &Signers) -> bool {
    event.client_ip == first.ip || signers.are_own([event.client_ip, first.ip], event.time)
}

fn is_neighbour(event: &AccessEvent, first: &FirstUse) -> bool {
    SitePrefix::is_shared(event.client_ip, first.ip)
}

/// Whether the addresses are neighbours and the repetition came soon: one exit has several.
fn is_quick_neighbour(event: &AccessEvent, first: &FirstUse) -> bool {
    is_neighbour(event, first) && !is_late(event, first)
}

/// Whether the repetition is too late for a client's retry.
fn is_late(event: &AccessEvent, first: &FirstUse) -> bool {
    event.time.seconds_since(first.time).abs() > RETRY_SECONDS
}

/// A nonce or a signature that is used again.
#[derive(Clone, Copy, Debug)]
pub struct Repetition {
    pub again: Again,
    pub earlier: Earlier,
    pub fingerprint: Fingerprint,
}

/// The first use of the repeated nonce or signature.
#[derive(Clone, Copy, Debug)]
pub enum Earlier {
    Known(FirstUse),
    /// There was one within this many seconds, with one false positive in
    /// [`crate::profile::sightings::ONE_FALSE_IN`]. Only a store could say which one.
    Within {
        seconds: f64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(path: &str, second: Option<i64>, signature: Option<u128>) -> Signed {
        Signed::new("POST", path, second.map(EventTime::from_seconds), signature.map(Fingerprint))
    }

    #[test]
    fn the_signature_decides_where_both_have_one() {
        let first = signed("/a", Some(1), Some(7));
        assert!(first.is_same(signed("/b", Some(2), Some(7))));
        assert!(!first.is_same(signed("/a", Some(1), Some(8))));
    }

    #[test]
    fn without_it_method_path_and_a_signed_time_that_both_have_decide() {
        let first = signed("/a", Some(1), None);
        assert!(first.is_same(signed("/a", Some(1), Some(7))));
        assert!(first.is_same(signed("/a", None, None)));
        assert!(!first.is_same(signed("/a", Some(2), None)));
        assert!(!first.is_same(signed("/b", Some(1), None)));
        let get = Signed::new("GET", "/a", Some(EventTime::from_seconds(1)), None);
        assert!(!first.is_same(get));
    }
}
