//! Writes small MaxMind DB files for tests (<https://maxmind.github.io/MaxMind-DB/>).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

const SEPARATOR: [u8; 16] = [0; 16];

/// The target of one bit in a node of the search tree.
#[derive(Clone, Copy)]
enum Branch {
    Nowhere,
    Node(usize),
    /// Offset in the data section.
    Data(usize),
}

/// Builds a database of networks with their records. The networks must not overlap. If one of
/// them is IPv6, the database is of IPv6, with IPv4 networks below `::/96`.
pub fn mmdb(database_type: &str, networks: &[(&str, Value)]) -> Vec<u8> {
    let networks: Vec<(IpNet, &Value)> =
        networks.iter().map(|(network, record)| (network.parse().unwrap(), record)).collect();
    let is_v6 = networks.iter().any(|(network, _)| network.addr().is_ipv6());
    let mut nodes = vec![[Branch::Nowhere; 2]];
    let mut data = Vec::new();
    for (network, record) in networks {
        insert(&mut nodes, &bits(network, is_v6), Branch::Data(data.len()));
        write_value(&mut data, record);
    }

    let mut file = Vec::new();
    for branch in nodes.iter().flatten() {
        let pointer = match branch {
            Branch::Nowhere => nodes.len(),
            Branch::Node(node) => *node,
            Branch::Data(offset) => nodes.len() + SEPARATOR.len() + offset,
        };
        file.extend((pointer as u32).to_be_bytes());
    }
    file.extend(SEPARATOR);
    file.extend(data);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    let metadata = json!({
        "binary_format_major_version": 2, "binary_format_minor_version": 0,
        "build_epoch": 1_772_366_400, "database_type": database_type,
        "description": {"en": "test"}, "ip_version": if is_v6 { 6 } else { 4 },
        "languages": ["en"], "node_count": nodes.len(), "record_size": 32,
    });
    write_value(&mut file, &metadata);
    file
}

fn bits(network: IpNet, is_v6: bool) -> Vec<usize> {
    let (address, length) = match network.addr() {
        IpAddr::V4(address) if !is_v6 => {
            (u128::from(address.to_bits()) << 96, network.prefix_len())
        }
        IpAddr::V4(address) => (u128::from(address.to_bits()), network.prefix_len() + 96),
        IpAddr::V6(address) => (address.to_bits(), network.prefix_len()),
    };
    (0..length).map(|bit| (address >> (127 - bit) & 1) as usize).collect()
}

fn insert(nodes: &mut Vec<[Branch; 2]>, bits: &[usize], data: Branch) {
    let (last, path) = bits.split_last().unwrap();
    let mut node = 0;
    for bit in path {
        node = match nodes[node][*bit] {
            Branch::Node(next) => next,
            Branch::Nowhere => {
                nodes.push([Branch::Nowhere; 2]);
                let next = nodes.len() - 1;
                nodes[node][*bit] = Branch::Node(next);
                next
            }
            Branch::Data(_) => panic!("networks overlap"),
        };
    }
    nodes[node][*last] = data;
}

fn write_value(output: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(text) => {
            write_control(output, 2, text.len());
            output.extend(text.as_bytes());
        }
        Value::Number(number) => match number.as_u64() {
            Some(integer) => write_integer(output, integer, 6),
            None => {
                write_control(output, 3, 8);
                output.extend(number.as_f64().unwrap().to_be_bytes());
            }
        },
        Value::Object(entries) => {
            write_control(output, 7, entries.len());
            for (name, value) in entries {
                write_value(output, &json!(name));
                match (name.as_str(), value.as_u64()) {
                    ("build_epoch", Some(integer)) => write_integer(output, integer, 9),
                    ("node_count", Some(integer)) => write_integer(output, integer, 6),
                    // The metadata's other integers and the radius are 16 bits wide.
                    (_, Some(integer @ 0..=1_000)) => write_integer(output, integer, 5),
                    _ => write_value(output, value),
                }
            }
        }
        Value::Array(items) => {
            write_control(output, 11, items.len());
            items.iter().for_each(|item| write_value(output, item));
        }
        Value::Null | Value::Bool(_) => panic!("the tests do not use these types"),
    }
}

/// Writes an unsigned integer of 16, 32 or 64 bits (types 5, 6 and 9).
fn write_integer(output: &mut Vec<u8>, integer: u64, kind: u8) {
    let size = match kind {
        5 => 2,
        6 => 4,
        _ => 8,
    };
    write_control(output, kind, size);
    output.extend(&integer.to_be_bytes()[8 - size..]);
}

/// Writes the control byte with type and size. Types above 7 and sizes above 28 need another byte.
fn write_control(output: &mut Vec<u8>, kind: u8, size: usize) {
    let (high, extended) = if kind > 7 { (0, Some(kind - 7)) } else { (kind << 5, None) };
    let (low, further) = if size < 29 { (size as u8, None) } else { (29, Some(size as u8 - 29)) };
    output.push(high | low);
    output.extend(extended);
    output.extend(further);
}
