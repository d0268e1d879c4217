//! Provides a log to send through the service, and an independent account of its contents.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use keywatch::event::EventTime;
use keywatch::generate::{
    AttackKind, Character, ConfuserKind, Generator, JsonLines, Kind, PLACES, Place, Plan, Selection,
};
use serde_json::{Value, json};
use sha2::Sha256;

use super::settings::PEPPER;

pub const PARTITIONS: i32 = 3;

/// A word that every secret made here contains.
pub const SECRET_WORD: &str = "Kn0wnS3cret";

/// Records that arrive twice or an hour late would make the account ambiguous.
const LEFT_OUT: [ConfuserKind; 3] =
    [ConfuserKind::Redelivery, ConfuserKind::RepeatedFile, ConfuserKind::LateBatch];

/// A key with signed requests from London, one of which is finally repeated from Sydney.
pub const REPLAYED_KEY: &str = "ak-replayed";
/// A key used in London, and half a minute later in Sydney.
pub const TRAVELLING_KEY: &str = "ak-travelling";

/// Records in order of arrival.
pub struct Traffic {
    pub events: Vec<Value>,
}

/// Attacks by others than the holder of a key: which keys are raised beside their source depends on
/// what was stored when somebody looked, and the account of alerts must not rest on chance.
fn is_by_chance(kind: &AttackKind) -> bool {
    const OUTSIDERS: [&str; 11] = [
        "tried_list",
        "distributed_stuffing",
        "signature_guessing",
        "knocking",
        "knocked_theft",
        "forged_nonce",
        "forged_afar",
        "forged_huge_nonce",
        "forged_next_nonce",
        "forged_old_time",
        "refused_replay",
    ];
    OUTSIDERS.contains(&kind.name())
}

impl Traffic {
    /// Generated traffic without redelivered records, so that ids name events.
    pub fn generated(keys: u32, hours: f64, per_second: f64, seed: u64) -> Self {
        let seconds = hours * 3_600.0;
        let mut plan = Plan::new(keys, seconds, seed);
        plan.start = EventTime::now().plus_seconds(-seconds - 600.0);
        plan.requests_per_second = Some(per_second);
        plan.confusers = Selection(
            Selection::<ConfuserKind>::all()
                .0
                .into_iter()
                .filter(|kind| !LEFT_OUT.contains(kind))
                .collect(),
        );
        plan.characters = Character::settled();
        plan.attacks = Selection(
            Selection::<AttackKind>::all()
                .0
                .into_iter()
                .filter(|kind| !is_by_chance(kind))
                .collect(),
        );
        let events = Generator::new(&plan);
        let events = events.map(|event| serde_json::to_value(event.record).unwrap()).collect();
        Self { events }
    }

    /// Adds the two attacked keys, whose last requests come after everything else.
    pub fn with_attacks(mut self) -> Self {
        let end = EventTime::now().plus_seconds(-300.0);
        let (london, sydney) = (place("London"), place("Sydney"));
        let steady = (0..600).flat_map(|n| {
            let time = end.plus_seconds(f64::from(n) * 60.0 - 36_000.0);
            [REPLAYED_KEY, TRAVELLING_KEY].map(|key| signed(key, n, time, london))
        });
        self.events.extend(steady);
        self.events.sort_by_cached_key(time);
        self.events.push(replay_of(599, 600, end.plus_seconds(10.0), sydney));
        self.events.push(signed(TRAVELLING_KEY, 600, end.plus_seconds(10.0), sydney));
        self
    }

    /// Adds requests that carry raw API keys.
    pub fn with_raw_keys(mut self, count: u32) -> Self {
        for n in 0..count {
            let time = EventTime::now().plus_seconds(f64::from(n) - 7_200.0);
            let mut event = signed("", n, time, place("London"));
            let fields = event.as_object_mut().unwrap();
            fields.remove("key_id");
            fields["request_id"] = json!(format!("raw-{n}"));
            fields.insert("api_key".into(), json!(format!("sk_live_{SECRET_WORD}_{}", n % 5)));
            self.events.push(event);
        }
        self.events.sort_by_cached_key(time);
        self
    }

    /// The traffic of the two attacked keys alone.
    pub fn attacks() -> Self {
        Self { events: Vec::new() }.with_attacks()
    }

    /// Writes one JSON object a line; the extension decides the compression.
    pub fn write(&self, path: &Path) {
        let mut lines = JsonLines::create(path).unwrap();
        self.events.iter().for_each(|event| lines.write(event).unwrap());
        lines.finish().unwrap();
    }

    /// Joins two logs and their accounts.
    pub fn joined(mut self, other: Self) -> Self {
        self.events.extend(other.events);
        self
    }

    /// The payloads of one partition: all requests of a key are in the same one.
    pub fn of_partition(&self, partition: i32) -> impl Iterator<Item = Vec<u8>> {
        let here = move |event: &&Value| partition_of(&key_id(event)) == partition;
        self.events.iter().filter(here).map(|event| serde_json::to_vec(event).unwrap())
    }

    /// Like [`Self::of_partition`], with the key of each payload.
    pub fn keyed_of_partition(&self, partition: i32) -> impl Iterator<Item = (String, Vec<u8>)> {
        let here = move |event: &&Value| partition_of(&key_id(event)) == partition;
        let events = self.events.iter().filter(here);
        events.map(|event| (key_id(event), serde_json::to_vec(event).unwrap()))
    }

    /// Cuts off and returns the records after the first `count`.
    pub fn split_off(&mut self, count: usize) -> Self {
        Self { events: self.events.split_off(count) }
    }

    /// Requests that follow after the replayed key's incident was opened: some from both places and
    /// another replay, and an hour later those that close the incident. More of them would be a
    /// spike of the rate, which keeps it open for longer.
    pub fn aftermath() -> Self {
        Self::aftermath_from(EventTime::now().plus_seconds(-250.0))
    }

    /// [`Self::aftermath`] of attacks that ended before `end`.
    pub fn aftermath_from(end: EventTime) -> Self {
        let (london, sydney) = (place("London"), place("Sydney"));
        let travelling = (0..6).map(|n| {
            let time = end.plus_seconds(f64::from(n) * 3.0);
            signed(REPLAYED_KEY, 1_000 + n, time, if n % 2 == 0 { sydney } else { london })
        });
        let replay = replay_of(598, 2_000, end.plus_seconds(20.0), sydney);
        let later = end.plus_seconds(3_600.0);
        let closing = (0..3).map(|n| signed(REPLAYED_KEY, 3_000 + n, later, london));
        Self { events: travelling.chain([replay]).chain(closing).collect() }
    }

    /// `request_id key_id time status`, sorted.
    pub fn rows(&self) -> Vec<String> {
        let row = |event: &Value| {
            let micros = time(event).as_micros();
            let id = event["request_id"].as_str().unwrap();
            format!("{id} {} {micros} {}", key_id(event), event["status"])
        };
        let mut rows: Vec<String> = self.events.iter().map(row).collect();
        rows.sort();
        rows
    }

    /// `key_id bucket requests 2xx 3xx 4xx 5xx unauthorized throttled bytes_in bytes_out`, sorted.
    pub fn usage(&self, bucket_seconds: i64) -> Vec<String> {
        let mut usage: BTreeMap<(String, i64), [u64; 9]> = BTreeMap::new();
        for event in &self.events {
            let second = time(event).as_micros() / 1_000_000;
            let sums = usage.entry((key_id(event), second - second % bucket_seconds)).or_default();
            let number = |field: &str| event[field].as_u64().unwrap_or(0);
            let status = number("status");
            let counted = [
                true,
                status / 100 == 2,
                status / 100 == 3,
                status / 100 == 4,
                status / 100 == 5,
                [401, 403].contains(&status),
                status == 429,
            ];
            for (sum, is_counted) in sums.iter_mut().zip(counted) {
                *sum += u64::from(is_counted);
            }
            sums[7] += number("bytes_in");
            sums[8] += number("bytes_out");
        }
        let line = |((key, bucket), sums): ((String, i64), [u64; 9])| {
            format!("{key} {bucket} {}", sums.map(|sum| sum.to_string()).join(" "))
        };
        usage.into_iter().map(line).collect()
    }

    /// `source hour key_id requests unauthorized`, sorted.
    pub fn sources(&self) -> Vec<String> {
        let mut sources: BTreeMap<(String, i64, String), [u64; 2]> = BTreeMap::new();
        for event in &self.events {
            let second = time(event).as_micros() / 1_000_000;
            let address = source(event["client_ip"].as_str().unwrap());
            let counts =
                sources.entry((address, second - second % 3_600, key_id(event))).or_default();
            counts[0] += 1;
            counts[1] += u64::from([401, 403].map(Value::from).contains(&event["status"]));
        }
        let line = |((address, hour, key), [requests, refused]): (_, [u64; 2])| {
            let (address, key): (String, String) = (address, key);
            let hour: i64 = hour;
            format!("{address} {hour} {key} {requests} {refused}")
        };
        let mut lines: Vec<String> = sources.into_iter().map(line).collect();
        lines.sort();
        lines
    }

    /// Nonces and signatures that are long enough not to appear anywhere by chance.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let fields = self.events.iter().flat_map(|event| [&event["nonce"], &event["signature"]]);
        fields.filter_map(Value::as_str).filter(|secret| secret.len() >= 16)
    }
}

/// Bad requests in the one record of [`undecodable`] that holds several.
pub const BAD_IN_ONE_RECORD: usize = 30_000;

/// Records that cannot be decoded and that hold secrets.
pub fn undecodable() -> Vec<Vec<u8>> {
    let good = signed("", 0, EventTime::now(), place("London"));
    let mut records: Vec<Vec<u8>> = vec![
        format!(r#"{{"time": "2026-03-01T12:00:00Z", "api_key": "sk_live_{SECRET_WORD}"#).into(),
        format!("sk_live_{SECRET_WORD} is not JSON").into(),
        [br#"{"api_key": "sk_live_"#, SECRET_WORD.as_bytes(), b"\xff\xfe\"}"].concat(),
        serde_json::to_vec(&good).unwrap().repeat(BAD_IN_ONE_RECORD),
    ];
    let mut with = |field: &str, value: Value| {
        let mut bad = good.clone();
        bad["key_id"] = json!(format!("key-{}", records.len()));
        bad[field] = value;
        records.push(serde_json::to_vec(&bad).unwrap());
    };
    with("key_id", json!(""));
    with("key_id", json!("k".repeat(10_000)));
    with("time", json!(format!("{SECRET_WORD} o'clock")));
    with("time", json!("2100-01-01T00:00:00Z"));
    with("time", Value::Null);
    with("status", json!(-200));
    with("client_ip", json!({"secret": SECRET_WORD}));
    with("client_ip", json!("300.1.2.3"));
    records
}

fn place(city: &str) -> &'static Place {
    let is_there = |place: &&Place| place.city == city && place.is_v4();
    PLACES.iter().find(is_there).expect("a place of the generator")
}

fn nonce(key: &str, n: u32) -> String {
    format!("{SECRET_WORD}-{key}-{n:08}")
}

fn signed(key: &str, n: u32, time: EventTime, place: &Place) -> Value {
    json!({
        "time": time, "request_id": format!("{key}-{n}"), "key_id": key,
        "client_ip": place.address(7), "method": "GET", "path": "/v1/orders", "status": 200,
        "bytes_in": n, "bytes_out": 2 * n, "nonce": nonce(key, n),
        "client_time": time, "signature": format!("{SECRET_WORD}-signature-{key}-{n}"),
    })
}

/// The captured request `n` of the replayed key, sent again: what was signed is the same.
fn replay_of(n: u32, again: u32, time: EventTime, place: &Place) -> Value {
    let mut replay = signed(REPLAYED_KEY, again, time, place);
    let captured = signed(REPLAYED_KEY, n, time, place);
    for field in ["nonce", "signature"] {
        replay[field] = captured[field].clone();
    }
    replay
}

fn time(event: &Value) -> EventTime {
    serde_json::from_value(event["time"].clone()).unwrap()
}

/// The id under which the event must be stored.
fn key_id(event: &Value) -> String {
    let Some(api_key) = event["api_key"].as_str() else {
        return event["key_id"].as_str().unwrap().to_owned();
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(PEPPER.as_bytes()).unwrap();
    mac.update(api_key.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

fn partition_of(key: &str) -> i32 {
    let sum: i32 = key.bytes().map(i32::from).sum();
    sum % PARTITIONS
}

/// An IPv4 address, or the first address of an IPv6 /64.
fn source(address: &str) -> String {
    match address.parse().unwrap() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).to_string(),
    }
}
