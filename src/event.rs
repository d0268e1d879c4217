//! Defines an API request as the decoder returns it, with its position and its origin.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use compact_str::CompactString;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::answer::Answer;
use crate::network::{NetworkKind, organisation};

pub const HOUR_SECONDS: f64 = 3_600.0;
pub const DAY_SECONDS: f64 = 86_400.0;

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

    /// The time of the wall clock. Only the edges call it.
    #[expect(clippy::disallowed_methods, reason = "the one clock; the core takes time as argument")]
    pub fn now() -> Self {
        Self(Timestamp::now().as_microsecond())
    }

    pub const fn as_micros(self) -> i64 {
        self.0
    }

    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Seconds from `earlier` to `self`. The result is negative if `self` is earlier.
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

/// RFC 3339 text in human-readable formats, microseconds in others.
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

/// The public id of a key, or the HMAC-SHA-256 of a raw key in hexadecimal. It is never the raw
/// key.
pub type KeyId = CompactString;

/// HMAC-SHA-256 of a raw key under the pepper. In text, it is 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// The id of a key whose public id is unknown.
    pub fn to_key_id(self) -> KeyId {
        let mut digits = [0; 64];
        // This cannot fail: the buffer is twice the size of the hash.
        let _ = hex::encode_to_slice(self.0, &mut digits);
        CompactString::from_utf8_lossy(&digits)
    }
}

impl Serialize for KeyHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_key_id())
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = CompactString::deserialize(deserializer)?;
        // The message does not repeat the text: somebody may have put a raw key here.
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("expected 64 hexadecimal digits"))
    }
}

/// A 128-bit keyed hash of a value that must not be stored: a nonce or a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub u128);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A nonce in the form that detectors may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce {
    pub fingerprint: Fingerprint,
    /// The value of a numeric nonce (a counter or a timestamp). Stored rows do not contain it.
    pub number: Option<u64>,
}

/// One API request. It holds no secret: the decoder hashes keys, nonces and signatures.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessEvent {
    pub time: EventTime,
    pub key_id: KeyId,
    pub client_ip: IpAddr,
    pub method: CompactString,
    /// The path without the query string, which may contain secrets.
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
    /// Whether the API accepted the credential, whatever the status. `None` if the log does not
    /// say.
    pub authenticated: Option<bool>,
    /// The log contained the raw key, so the sender of the request has the secret.
    pub has_secret: bool,
    /// The validity window that the client signed for this request, in milliseconds.
    pub validity_ms: Option<u32>,
    /// The fingerprint of the TLS handshake or the client (JA3, JA4), as the gateway logged it.
    pub client_fingerprint: Option<CompactString>,
    /// The method of authentication: `api_key`, `hmac`, `jwt`, `mtls` and others.
    pub auth_method: Option<CompactString>,
}

impl AccessEvent {
    /// The meaning of the status.
    pub const fn answer(&self) -> Answer {
        Answer::of(self.status)
    }

    /// An event of `GET /v1/orders` with status 200 and without optional fields.
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
            authenticated: None,
            has_secret: false,
            validity_ms: None,
            client_fingerprint: None,
            auth_method: None,
        }
    }
}

/// The network of an address that counts as one site: an IPv4 /24 or an IPv6 /48. A client's
/// address changes within it for ordinary reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SitePrefix(IpNet);

impl SitePrefix {
    /// The network of `ip`. For a transition address ([`tunnelled_ipv4`]), it is the network of
    /// the client's IPv4 address.
    pub fn of(ip: IpAddr) -> Self {
        Self(match tunnelled_ipv4(ip).map_or(ip, IpAddr::V4) {
            IpAddr::V4(ip) => Ipv4Net::new_assert(ip, 24).trunc().into(),
            IpAddr::V6(ip) => Ipv6Net::new_assert(ip, 48).trunc().into(),
        })
    }

    pub const fn net(self) -> IpNet {
        self.0
    }

    /// Whether two addresses have the same site prefix.
    pub fn is_shared(a: IpAddr, b: IpAddr) -> bool {
        Self::of(a) == Self::of(b)
    }
}

/// The client's IPv4 address inside a transition address: 6to4 (RFC 3056, `2002::/16`) or Teredo
/// (RFC 4380, `2001::/32`, which inverts its bits). `None` for other addresses.
///
/// Transition addresses are located by this address. The registered location of their prefix is
/// not that of the client.
pub fn tunnelled_ipv4(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return None };
    let bits = ip.to_bits();
    match (bits >> 112, bits >> 96) {
        (0x2002, _) => Some(Ipv4Addr::from_bits((bits >> 80) as u32)),
        (_, 0x2001_0000) => Some(Ipv4Addr::from_bits(!(bits as u32))),
        _ => None,
    }
}

/// One ordered stream of records: a Kafka partition, a file, a push endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartitionId {
    pub topic: Arc<str>,
    pub partition: i32,
}

/// The id of a shard. All events of one key go to the same shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ShardId {
    /// The one shard of all logs that are not partitioned by key.
    #[default]
    Shared,
    /// The shard of one partition, for logs that are partitioned by key. All topics share the
    /// numbers.
    Partition(i32),
}

/// The position of one event in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordPosition {
    /// Kafka offset, or the line number (from 1) in a file.
    pub offset: i64,
    /// Index within the record, from 0, if one record holds several events.
    pub index: u32,
}

/// The location and network of an address, as far as the databases know them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// ISO 3166-1 alpha-2 in upper case. Empty if unknown.
    pub country: CompactString,
    pub region: CompactString,
    pub city: CompactString,
    pub coordinates: Option<Coordinates>,
    /// Number of the autonomous system. Zero if unknown.
    pub asn: u32,
    pub as_name: CompactString,
    pub kind: NetworkKind,
}

impl Origin {
    /// Whether at least the country is known.
    pub fn is_located(&self) -> bool {
        !self.country.is_empty()
    }

    /// Whether the databases know the country or the network.
    pub fn is_known(&self) -> bool {
        self.is_located() || self.asn != 0
    }

    /// The number of the organisation that runs the network: see [`organisation`].
    pub fn organisation(&self) -> u32 {
        organisation(self.asn, &self.as_name)
    }
}

/// A location in WGS 84 degrees. `accuracy_km` is the radius within which the client probably is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coordinates {
    pub latitude: f64,
    pub longitude: f64,
    pub accuracy_km: f64,
}

impl Coordinates {
    /// The same location with an `accuracy_km` of at least `radius_km`.
    pub const fn at_least_within(self, radius_km: f64) -> Self {
        Self { accuracy_km: self.accuracy_km.max(radius_km), ..self }
    }

    /// Great-circle distance by the haversine formula on a sphere of 6,371 km (Sinnott 1984).
    pub fn kilometres_to(self, other: Self) -> f64 {
        let (here, there) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half_latitude = ((there - here) / 2.0).sin();
        let half_longitude = ((other.longitude - self.longitude).to_radians() / 2.0).sin();
        let h = half_latitude * half_latitude
            + here.cos() * there.cos() * half_longitude * half_longitude;
        2.0 * 6_371.0 * h.sqrt().min(1.0).asin()
    }

    /// Lower bound of the distance in kilometres: the distance minus both radii, at least 0.
    pub fn certain_kilometres_to(self, other: Self) -> f64 {
        (self.kilometres_to(other) - self.accuracy_km - other.accuracy_km).max(0.0)
    }
}

/// An event with its position and the origin of its address.
#[derive(Clone, Debug)]
pub struct EnrichedEvent {
    pub event: AccessEvent,
    pub position: RecordPosition,
    pub origin: Arc<Origin>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn site_prefixes_are_24_bits_in_ipv4_and_48_in_ipv6() {
        let shared = |a: &str, b: &str| matches!((a.parse(), b.parse()), (Ok(a), Ok(b)) if SitePrefix::is_shared(a, b));
        assert!(shared("203.0.113.1", "203.0.113.250"));
        assert!(!shared("203.0.113.1", "203.0.114.1"));
        assert!(shared("2001:db8:1:2::1", "2001:db8:1:ffff::9"));
        assert!(!shared("2001:db8:1::1", "2001:db8:2::1"));
        assert!(!shared("203.0.113.1", "2001:db8:1::1"));
    }

    #[test]
    fn a_transition_address_has_the_site_prefix_of_the_ipv4_address_inside() {
        let shared = |a: &str, b: &str| matches!((a.parse(), b.parse()), (Ok(a), Ok(b)) if SitePrefix::is_shared(a, b));
        assert!(shared("2002:cb00:7101::1", "203.0.113.250"));
        assert!(shared("2001:0:4136:e378:8000:63bf:34ff:8efe", "203.0.113.9"));
        assert!(!shared("2001:db8::1", "203.0.113.9"));
    }

    fn at(latitude: f64, longitude: f64) -> Coordinates {
        Coordinates { latitude, longitude, accuracy_km: 50.0 }
    }

    #[test]
    fn paris_to_new_york_is_5837_km() {
        let distance = at(48.8566, 2.3522).kilometres_to(at(40.7128, -74.0060));
        assert!((distance - 5_837.0).abs() < 10.0, "{distance}");
        assert_eq!(at(10.0, 10.0).kilometres_to(at(10.0, 10.0)), 0.0);
        assert!((at(0.0, 0.0).kilometres_to(at(0.0, 180.0)) - 20_015.0).abs() < 1.0);
    }

    #[test]
    fn uncertainty_shortens_a_journey_and_never_makes_it_negative() {
        assert_eq!(at(48.0, 2.0).certain_kilometres_to(at(48.3, 2.0)), 0.0);
    }
}
