//! Measures a look-up in the key registry: the registration of a key, and whether an address is in
//! its networks.
//!
//! `cargo bench --no-default-features --bench registry -- KEYS`

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use ipnet::{IpNet, Ipv4Net};
use keywatch::event::KeyId;
use keywatch::registry::{KeyNews, RegisteredKey, Registry};

/// One key in ten has this many networks: 100,000 for a million keys.
const NETWORKS: usize = 1;
/// One key has the networks of a cloud.
const NETWORKS_OF_A_CLOUD: usize = 10_000;
const LOOKUPS: usize = 5_000_000;

fn network(number: usize) -> IpNet {
    Ipv4Net::new_assert(Ipv4Addr::from_bits((number as u32) << 12), 20).into()
}

fn key(number: usize) -> RegisteredKey {
    let networks = match number {
        0 => (0..NETWORKS_OF_A_CLOUD).map(|n| network(2 * n)).collect(),
        n if n % 10 == 0 => (0..NETWORKS).map(|at| network(n + at)).collect(),
        _ => Vec::new(),
    };
    RegisteredKey {
        key_id: format!("ak_live_{number:012x}").into(),
        owner: format!("team-{}@example.com", number % 5_000).into(),
        tenant: format!("tenant-{}", number % 500).into(),
        environment: "production".into(),
        scopes: vec!["read".into(), "write".into()],
        allowed_cidrs: networks.into(),
        ..RegisteredKey::default()
    }
}

/// Nanoseconds of one call, over numbers in an order without a pattern.
fn nanoseconds(numbers: &[usize], mut call: impl FnMut(usize) -> bool) -> f64 {
    let begin = Instant::now();
    let hits = (0..LOOKUPS).filter(|at| call(numbers[at % numbers.len()])).count();
    black_box(hits);
    begin.elapsed().as_nanos() as f64 / LOOKUPS as f64
}

fn main() {
    let given = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let keys: usize = given.unwrap_or(1_000_000);
    let before = resident_bytes();
    let news = KeyNews { number: 1, keys: (0..keys).map(key).collect(), ..KeyNews::default() };
    let begin = Instant::now();
    let mut registry = Registry::default();
    registry.learn(&news);
    let taken = begin.elapsed();
    let ids: Vec<KeyId> = news.keys.iter().map(|key| key.key_id.clone()).collect();
    drop(news);
    println!("{keys} keys taken over in {taken:.1?}");
    println!("{} bytes a key, with its id twice", (resident_bytes() - before) / keys);
    // A multiplier that shares no factor with the number of keys visits all of them.
    let numbers: Vec<usize> = (0..keys).map(|n| n * 7_919 % keys).collect();
    let address = |n: usize| IpAddr::from(Ipv4Addr::from_bits((n as u32).wrapping_mul(40_503)));

    let known = nanoseconds(&numbers, |n| registry.get(&ids[n]).is_some());
    println!("look-up of a key: {known:.0} ns");
    let unknown = KeyId::from("ak_unknown");
    let missing = nanoseconds(&numbers, |_| registry.get(black_box(&unknown)).is_some());
    println!("look-up of an unknown key: {missing:.0} ns");
    let inside = nanoseconds(&numbers, |n| {
        registry.get(&ids[n]).is_some_and(|key| key.allowed_cidrs.contains(address(n)))
    });
    println!("look-up of a key, and of an address in its networks: {inside:.0} ns");
    let cloud = registry.get(&ids[0]).unwrap();
    let among = nanoseconds(&numbers, |n| cloud.allowed_cidrs.contains(address(n)));
    println!("an address among {NETWORKS_OF_A_CLOUD} networks of one key: {among:.0} ns");
}

/// The resident set of this process.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = status.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}
