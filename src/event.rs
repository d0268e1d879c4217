//! What one API request looks like after decode, and where it came from.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use compact_str::CompactString;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Event time: microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(i64);

impl EventTime {
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    pub fn now() -> Self {
        Self(Timestamp::now().as_microsecond())
    }

    pub const fn as_micros(self) -> i64 {
        self.0
    }

    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Seconds from `earlier` to `self`; negative when `self` came first.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / 1e6
    }

    pub fn plus_seconds(self, seconds: f64) -> Self {
        Self(self.0.saturating_add((seconds * 1e6) as i64))
    }
}

/// RFC 3339 with microseconds, UTC.
impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_microsecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp:.6}"),
            Err(_) => write!(f, "{} us", self.0),
        }
    }
}

/// Text where people read it, microseconds elsewhere.
impl Serialize for EventTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for EventTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let timestamp = Timestamp::deserialize(deserializer)?;
            Ok(Self(timestamp.as_microsecond()))
        } else {
            i64::deserialize(deserializer).map(Self)
        }
    }
}

/// The public id of a key, or the hex HMAC-SHA-256 of a raw key. Never the raw key.
pub type KeyId = CompactString;

/// A 128-bit keyed hash of something that must not be kept: a nonce, a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub u128);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A nonce as the detectors may see it: its fingerprint, and its value when it
/// is a number (counters and timestamps), which stays in memory only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce {
    pub fingerprint: Fingerprint,
    pub number: Option<u64>,
}

/// One API request. Holds no secret: keys, nonces and signatures are hashed at decode.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessEvent {
    pub time: EventTime,
    pub key_id: KeyId,
    pub client_ip: IpAddr,
    pub method: CompactString,
    /// Without the query string, which may carry secrets.
    pub path: CompactString,
    pub status: u16,
    pub request_id: Option<CompactString>,
    pub latency_ms: Option<f32>,
    pub bytes_in: Option<u64>,
    pub bytes_out: Option<u64>,
    pub user_agent: Option<CompactString>,
    pub environment: Option<CompactString>,
    pub scope: Option<CompactString>,
    pub tenant: Option<CompactString>,
    pub nonce: Option<Nonce>,
    pub client_time: Option<EventTime>,
    pub signature: Option<Fingerprint>,
}

impl AccessEvent {
    /// An event of `GET /v1/orders`, answered 200, with what is required and nothing else.
    pub fn minimal(time: EventTime, key_id: impl Into<KeyId>, client_ip: IpAddr) -> Self {
        Self {
            time,
            key_id: key_id.into(),
            client_ip,
            method: "GET".into(),
            path: "/v1/orders".into(),
            status: 200,
            request_id: None,
            latency_ms: None,
            bytes_in: None,
            bytes_out: None,
            user_agent: None,
            environment: None,
            scope: None,
            tenant: None,
            nonce: None,
            client_time: None,
            signature: None,
        }
    }
}

/// One ordered stream of records: a Kafka partition, a file, a push endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartitionId {
    pub topic: Arc<str>,
    pub partition: i32,
}

/// The part of the per-key state that a batch belongs to. All events of a key meet in one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ShardId {
    /// Of logs that are not partitioned by key: one state for everything that is read.
    #[default]
    Shared,
    /// Of logs that are: the number of the partition, the same for all topics.
    Partition(i32),
}

/// Where one event stands in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordPosition {
    /// Kafka offset, or the line number (from 1) in a file.
    pub offset: i64,
    /// Place within the record when one record holds several events.
    pub index: u32,
}

/// What is known of the place and network behind an address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// ISO 3166-1 alpha-2, upper case; empty when unknown.
    pub country: CompactString,
    pub region: CompactString,
    pub city: CompactString,
    pub coordinates: Option<Coordinates>,
    /// Zero when unknown.
    pub asn: u32,
    pub as_name: CompactString,
    /// The network hosts servers or VPN exits rather than people.
    pub is_hosting: bool,
}

impl Origin {
    pub fn is_located(&self) -> bool {
        !self.country.is_empty()
    }
}

/// WGS 84 degrees, with the radius in kilometres within which the client is likely to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coordinates {
    pub latitude: f64,
    pub longitude: f64,
    pub accuracy_km: f64,
}

/// An event with its position and the origin of its address.
#[derive(Clone, Debug)]
pub struct EnrichedEvent {
    pub event: AccessEvent,
    pub position: RecordPosition,
    pub origin: Arc<Origin>,
}
