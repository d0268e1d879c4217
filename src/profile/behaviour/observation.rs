//! Reduces one request to the numbers that a window counts.

use std::net::IpAddr;

use crate::event::{AccessEvent, EventTime, Origin};
use crate::profile::outcome::Failure;
use crate::profile::route::RouteId;

/// Hash buckets for routes. Service and training use the same number.
pub const ROUTE_BUCKETS: usize = 16;
/// Hash buckets for places. Service and training use the same number.
pub const PLACE_BUCKETS: usize = 8;
/// Hash buckets for addresses. The number of non-empty buckets estimates the number of distinct
/// addresses (linear counting: Whang, Vander-Zanden and Taylor 1990).
pub const ADDRESS_BUCKETS: usize = 64;

/// The numbers of one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    pub time: EventTime,
    pub failure: Option<Failure>,
    /// The request has a nonce or a signature.
    pub is_signed: bool,
    /// Bucket of the client's address.
    pub address: u8,
    /// Bucket of the place: a network (AS) in a country.
    pub place: u8,
    /// Bucket of the route.
    pub route: u8,
    /// `ln(1 + bytes)` of the answer. `None` if the log does not contain the size.
    pub size: Option<f32>,
    /// `asinh` of server time minus client time in seconds. `None` without a client time.
    pub skew: Option<f32>,
}

impl Observation {
    pub fn of(event: &AccessEvent, origin: &Origin, route: RouteId) -> Self {
        let skew = |client_time| (event.time.seconds_since(client_time) as f32).asinh();
        Self {
            time: event.time,
            failure: Failure::of_status(event.status),
            is_signed: event.nonce.is_some() || event.signature.is_some(),
            address: bucket(address_hash(event.client_ip), ADDRESS_BUCKETS),
            place: place_bucket(origin.asn, &origin.country),
            route: bucket(u64::from(route), ROUTE_BUCKETS),
            size: event.bytes_out.map(|bytes| (bytes as f32).ln_1p()),
            skew: event.client_time.map(skew),
        }
    }
}

/// The bucket of a place: a network (AS) in a country.
fn place_bucket(asn: u32, country: &str) -> u8 {
    let seed = u64::from(asn);
    let place = country.bytes().fold(seed, |hash, byte| mix(hash ^ u64::from(byte)));
    bucket(place, PLACE_BUCKETS)
}

fn address_hash(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64 ^ mix(ip.to_bits() as u64),
    }
}

/// The bucket of a hash, by its upper bits. `buckets` must be a power of two.
fn bucket(hash: u64, buckets: usize) -> u8 {
    (mix(hash) >> (64 - buckets.trailing_zeros())) as u8
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014). It must stay the same between
/// releases, because saved states and models contain buckets.
const fn mix(hash: u64) -> u64 {
    let hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
