//! How a client signs: nonces by one of the usual disciplines, its own clock, a signature.

use std::fmt::Write;

use compact_str::CompactString;
use rand::RngExt;
use serde::{Serialize, Serializer};

use super::random::{Random, normal};
use crate::event::EventTime;

/// What clients send as a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Discipline {
    None,
    Counter,
    Milliseconds,
    Microseconds,
    Nanoseconds,
    Hex,
    Uuid,
}

impl Discipline {
    /// Units in a second, for the disciplines that are a clock.
    const fn per_second(self) -> Option<u64> {
        match self {
            Self::Milliseconds => Some(1_000),
            Self::Microseconds => Some(1_000_000),
            Self::Nanoseconds => Some(1_000_000_000),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ClientNonce {
    Number(u64),
    Text(CompactString),
}

/// A made-up 256-bit signature, lower-case hexadecimal in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature(pub [u8; 32]);

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; 64];
        hex::encode_to_slice(self.0, &mut text).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
    }
}

/// The signed fields of one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Signed {
    pub nonce: Option<ClientNonce>,
    pub client_time: Option<EventTime>,
    pub signature: Option<Signature>,
}

/// How one key signs, and the last nonce it used.
#[derive(Clone, Debug)]
pub(super) struct Signer {
    pub discipline: Discipline,
    pub sends_time: bool,
    pub sends_signature: bool,
    /// The client's clock minus the server's.
    pub skew_seconds: f64,
    last: u64,
}

impl Signer {
    pub fn new(discipline: Discipline, sends_time: bool, sends_signature: bool) -> Self {
        Self { discipline, sends_time, sends_signature, skew_seconds: 0.0, last: 0 }
    }

    pub const fn unsigned() -> Self {
        Self {
            discipline: Discipline::None,
            sends_time: false,
            sends_signature: false,
            skew_seconds: 0.0,
            last: 0,
        }
    }

    /// Sets the client's clock off by a few hundred milliseconds and its counter somewhere.
    pub fn settle(&mut self, random: &mut Random) {
        self.skew_seconds = normal(random, 0.3);
        self.last = random.random_range(1_000_000..100_000_000);
    }

    /// Signs a request that the server sees at `time`.
    pub fn sign(&mut self, time: EventTime, random: &mut Random) -> Signed {
        let under_way = 0.02 + random.random::<f64>() * 0.15;
        let client_time = time.plus_seconds(self.skew_seconds - under_way);
        Signed {
            nonce: self.nonce(client_time, random),
            client_time: self.sends_time.then_some(client_time),
            signature: self.sends_signature.then(|| Signature(random.random())),
        }
    }

    /// A number well below the last one used, for the rising disciplines: half an
    /// hour ago on a clock, never used on a counter.
    pub fn low_number(&self) -> u64 {
        match self.discipline.per_second() {
            Some(units) => self.last.saturating_sub(1_800 * units),
            None => self.last / 2,
        }
    }

    fn nonce(&mut self, client_time: EventTime, random: &mut Random) -> Option<ClientNonce> {
        match self.discipline {
            Discipline::None => None,
            Discipline::Hex => {
                let mut text = CompactString::default();
                // Writing into a string does not fail.
                let _ = write!(text, "{:016x}", random.random::<u64>());
                Some(ClientNonce::Text(text))
            }
            Discipline::Uuid => Some(ClientNonce::Text(uuid(random.random()))),
            rising => {
                let clock = rising.per_second().map_or(0, |units| clock(client_time, units));
                self.last = clock.max(self.last.saturating_add(1));
                Some(ClientNonce::Number(self.last))
            }
        }
    }
}

fn clock(time: EventTime, units: u64) -> u64 {
    let micros = i128::from(time.as_micros());
    u64::try_from(micros * i128::from(units) / 1_000_000).unwrap_or(0)
}

/// A version 4 UUID (RFC 9562) of the given random bits.
fn uuid(bits: u128) -> CompactString {
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let mut text = CompactString::default();
    let part = |shift: u32, digits: u32| (bits >> shift) & ((1 << (digits * 4)) - 1);
    // Writing into a string does not fail.
    let _ = write!(
        text,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        part(96, 8),
        part(80, 4),
        part(64, 4),
        part(48, 4),
        part(0, 12)
    );
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::super::random::stream;
    use super::*;

    #[test]
    fn rising_disciplines_rise_even_within_one_instant() {
        let disciplines = [
            Discipline::Counter,
            Discipline::Milliseconds,
            Discipline::Microseconds,
            Discipline::Nanoseconds,
        ];
        for discipline in disciplines {
            let mut random = stream(5, 0);
            let mut signer = Signer::new(discipline, true, true);
            let mut last = 0;
            for step in 0..200 {
                let time = EventTime::from_micros(1_767_600_000_000_000 + step / 2 * 40);
                let Some(ClientNonce::Number(number)) = signer.sign(time, &mut random).nonce else {
                    panic!("{discipline:?} gives numbers")
                };
                assert!(number > last, "{discipline:?}");
                last = number;
            }
        }
    }

    #[test]
    fn a_clock_nonce_is_the_time_in_its_unit() {
        let mut random = stream(5, 0);
        let mut signer = Signer::new(Discipline::Milliseconds, false, false);
        let time = EventTime::from_seconds(1_767_600_000);
        let Some(ClientNonce::Number(number)) = signer.sign(time, &mut random).nonce else {
            panic!("a number")
        };
        assert!(number.abs_diff(1_767_600_000_000) < 500);
    }

    #[test]
    fn uuids_are_version_4() {
        let text = uuid(u128::MAX);
        assert_eq!(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
