//! What one request adds to its key's behaviour.

use std::net::IpAddr;

use crate::event::{AccessEvent, EventTime, Origin};
use crate::profile::outcome::Failure;
use crate::profile::route::RouteId;

/// Routes, and places, are told apart by so many buckets: bounded, and the same in training.
pub const ROUTE_BUCKETS: usize = 16;
pub const PLACE_BUCKETS: usize = 8;
/// Distinct addresses are counted by the buckets that they fill (linear counting: Whang,
/// Vander-Zanden and Taylor 1990).
pub const ADDRESS_BUCKETS: usize = 64;

/// One request in numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    pub time: EventTime,
    pub failure: Option<Failure>,
    /// 5xx: the API failed, not the client.
    pub is_unavailable: bool,
    /// It carries a nonce or a signature.
    pub is_signed: bool,
    pub address: u8,
    pub place: u8,
    pub route: u8,
    /// `ln(1 + bytes)` of the answer, where it is logged.
    pub size: Option<f32>,
    /// Server time minus client time, `asinh` of the seconds, where the client sends it.
    pub skew: Option<f32>,
}

impl Observation {
    pub fn of(event: &AccessEvent, origin: &Origin, route: RouteId) -> Self {
        let skew = |client_time| (event.time.seconds_since(client_time) as f32).asinh();
        Self {
            time: event.time,
            failure: Failure::of_status(event.status),
            is_unavailable: event.status >= 500,
            is_signed: event.nonce.is_some() || event.signature.is_some(),
            address: bucket(address_hash(event.client_ip), ADDRESS_BUCKETS),
            place: place_bucket(origin.asn, &origin.country),
            route: bucket(u64::from(route), ROUTE_BUCKETS),
            size: event.bytes_out.map(|bytes| (bytes as f32).ln_1p()),
            skew: event.client_time.map(skew),
        }
    }
}

/// A place is a network (AS) in a country.
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

/// The first of the buckets, of which there are a power of two, by the hash's upper bits.
fn bucket(hash: u64, buckets: usize) -> u8 {
    (mix(hash) >> (64 - buckets.trailing_zeros())) as u8
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014): fixed, since states keep buckets.
const fn mix(hash: u64) -> u64 {
    let hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
