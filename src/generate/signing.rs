//! Signs requests like a client: nonces by one of the usual disciplines, its own clock, a
//! signature.

use std::fmt::Write;

use compact_str::{CompactString, format_compact};
use rand::RngExt;
use serde::{Serialize, Serializer};

use super::random::{Random, normal};
use crate::event::EventTime;

/// The kind of nonce that a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Discipline {
    None,
    Counter,
    Milliseconds,
    Microseconds,
    Nanoseconds,
    /// The clock in milliseconds, unchanged even if two requests fall into one millisecond.
    BareMilliseconds,
    BareSeconds,
    /// `str(time.time())`: seconds with a fraction.
    Decimal,
    Hex,
    Uuid,
}

impl Discipline {
    /// Units in a second, for disciplines that are a clock.
    const fn per_second(self) -> Option<u64> {
        match self {
            Self::BareSeconds => Some(1),
            Self::Milliseconds | Self::BareMilliseconds => Some(1_000),
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

/// The client's clock minus the server's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    pub skew_seconds: f64,
    pub drift_per_hour: f64,
    pub since: EventTime,
    /// The time at which NTP corrects the clock.
    pub mended_at: Option<EventTime>,
}

impl Clock {
    fn offset(&self, time: EventTime) -> f64 {
        if self.mended_at.is_some_and(|mended| mended <= time) {
            return 0.0;
        }
        self.skew_seconds + self.drift_per_hour * time.seconds_since(self.since) / 3_600.0
    }
}

/// A change in the way the client signs, from some time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    To(Discipline),
    /// The counter restarts from a low number.
    Reset,
}

/// How one client signs, and the last nonces that it used.
#[derive(Clone, Debug)]
pub(super) struct Signer {
    pub discipline: Discipline,
    pub sends_time: bool,
    pub sends_signature: bool,
    pub clock: Clock,
    /// Validity of a request in milliseconds, if the client states it.
    pub validity_ms: Option<u32>,
    pub change: Option<(EventTime, Change)>,
    /// The last nonce of every worker; workers share no state.
    last: Vec<u64>,
}

impl Signer {
    pub fn new(discipline: Discipline, sends_time: bool, sends_signature: bool) -> Self {
        Self {
            discipline,
            sends_time,
            sends_signature,
            clock: Clock::default(),
            validity_ms: None,
            change: None,
            last: vec![0],
        }
    }

    pub fn unsigned() -> Self {
        Self::new(Discipline::None, false, false)
    }

    /// Uses several processes, each with its own nonces.
    pub fn with_workers(mut self, workers: usize) -> Self {
        self.last = vec![0; workers.max(1)];
        self
    }

    /// Sets the clock off by a few hundred milliseconds and the counters to random values.
    pub fn settle(&mut self, random: &mut Random) {
        self.clock.skew_seconds += normal(random, 0.3);
        for last in &mut self.last {
            *last = random.random_range(1_000_000..100_000_000);
        }
    }

    /// Signs a request that the server sees at `time`.
    pub fn sign(&mut self, time: EventTime, random: &mut Random) -> Signed {
        self.change_at(time, random);
        let under_way = 0.02 + random.random::<f64>() * 0.15;
        let client_time = time.plus_seconds(self.clock.offset(time) - under_way);
        Signed {
            nonce: self.nonce(client_time, random),
            client_time: self.sends_time.then_some(client_time),
            signature: self.sends_signature.then(|| Signature(random.random())),
        }
    }

    fn change_at(&mut self, time: EventTime, random: &mut Random) {
        let Some((_, change)) = self.change.filter(|(at, _)| *at <= time) else { return };
        self.change = None;
        match change {
            Change::To(discipline) => self.discipline = discipline,
            Change::Reset => self.last.fill(random.random_range(0..10)),
        }
    }

    /// For rising disciplines, a number well below the last one used: on a clock the value of half
    /// an hour ago, on a counter one that was never used.
    pub fn low_number(&self) -> u64 {
        match self.discipline.per_second() {
            Some(units) => self.highest().saturating_sub(1_800 * units),
            None => self.highest() / 2,
        }
    }

    /// The number that the client is likely to use `ahead` requests from now, as an attacker would
    /// guess it from the last one.
    pub fn next_number(&self, ahead: u64) -> u64 {
        let step = self.discipline.per_second().map_or(1, |units| units.div_ceil(2));
        self.highest().saturating_add(step * ahead)
    }

    fn highest(&self) -> u64 {
        self.last.iter().copied().max().unwrap_or(0)
    }

    fn nonce(&mut self, client_time: EventTime, random: &mut Random) -> Option<ClientNonce> {
        match self.discipline {
            Discipline::None => None,
            Discipline::Hex => {
                let mut text = CompactString::default();
                // Writing into a string cannot fail.
                let _ = write!(text, "{:016x}", random.random::<u64>());
                Some(ClientNonce::Text(text))
            }
            Discipline::Uuid => Some(ClientNonce::Text(uuid(random.random()))),
            Discipline::Decimal => {
                let micros = client_time.as_micros();
                let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
                Some(ClientNonce::Text(format_compact!("{seconds}.{fraction:06}")))
            }
            rising => Some(ClientNonce::Number(self.rise(rising, client_time, random))),
        }
    }

    fn rise(&mut self, rising: Discipline, client_time: EventTime, random: &mut Random) -> u64 {
        let worker = match self.last.len() {
            1 => 0,
            workers => random.random_range(0..workers),
        };
        let last = &mut self.last[worker];
        let clock = rising.per_second().map_or(0, |units| clock(client_time, units));
        let is_bare = matches!(rising, Discipline::BareMilliseconds | Discipline::BareSeconds);
        *last = if is_bare { clock } else { clock.max(last.saturating_add(1)) };
        *last
    }
}

fn clock(time: EventTime, units: u64) -> u64 {
    let micros = i128::from(time.as_micros());
    u64::try_from(micros * i128::from(units) / 1_000_000).unwrap_or(0)
}

/// A version 4 UUID (RFC 9562) from the given random bits.
fn uuid(bits: u128) -> CompactString {
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let mut text = CompactString::default();
    let part = |shift: u32, digits: u32| (bits >> shift) & ((1 << (digits * 4)) - 1);
    // Writing into a string cannot fail.
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

    fn numbers(signer: &mut Signer, millis: impl Iterator<Item = i64>) -> Vec<u64> {
        let mut random = stream(8, 0);
        signer.settle(&mut random);
        let time = |millis| EventTime::from_micros(1_767_600_000_000_000 + millis * 1_000);
        millis
            .map(|millis| match signer.sign(time(millis), &mut random).nonce {
                Some(ClientNonce::Number(number)) => number,
                other => panic!("{other:?} is not a number"),
            })
            .collect()
    }

    #[test]
    fn workers_have_a_counter_each() {
        let mut signer = Signer::new(Discipline::Counter, false, true).with_workers(3);
        let numbers = numbers(&mut signer, (0..600).map(|second| second * 1_000));
        let backwards = numbers.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert!((100..300).contains(&backwards), "{backwards}");
        let distinct: std::collections::HashSet<_> = numbers.iter().collect();
        assert_eq!(distinct.len(), 600);
    }

    #[test]
    fn a_counter_begins_again_after_its_reset() {
        let mut signer = Signer::new(Discipline::Counter, false, true);
        signer.change = Some((EventTime::from_seconds(1_767_600_100), Change::Reset));
        let numbers = numbers(&mut signer, (0..200).map(|second| second * 1_000));
        assert!(numbers[99] > 1_000_000 && numbers[100] <= 10 && numbers[199] < 120);
    }

    #[test]
    fn a_drifting_clock_is_right_again_after_ntp() {
        let (mut random, start) = (stream(9, 0), EventTime::from_seconds(1_767_600_000));
        let mut signer = Signer::new(Discipline::None, true, true);
        signer.clock.since = start;
        signer.clock.drift_per_hour = 30.0;
        signer.clock.mended_at = Some(start.plus_seconds(7_200.0));
        let mut off = |hours: f64| {
            let time = start.plus_seconds(hours * 3_600.0);
            signer.sign(time, &mut random).client_time.unwrap().seconds_since(time)
        };
        assert!(off(1.9) > 50.0 && off(2.1).abs() < 1.0);
    }

    #[test]
    fn decimals_are_seconds() {
        let mut signer = Signer::new(Discipline::Decimal, false, true);
        let time = EventTime::from_seconds(1_767_600_000);
        let Some(ClientNonce::Text(text)) = signer.sign(time, &mut stream(1, 0)).nonce else {
            panic!("a text")
        };
        assert!((text.parse::<f64>().unwrap() - 1_767_600_000.0).abs() < 1.0, "{text}");
    }

    #[test]
    fn uuids_are_version_4() {
        let text = uuid(u128::MAX);
        assert_eq!(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
