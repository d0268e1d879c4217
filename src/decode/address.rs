//! Parses client addresses in the spellings that log writers use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};

/// Reads an IPv4 or IPv6 address. A port (`1.2.3.4:5678`, `[::1]:443`) and a zone (`fe80::1%eth0`,
/// RFC 4007 section 11) are cut off. IPv4-mapped addresses become IPv4, so that one client has one
/// address.
pub(super) fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Some(address.into());
    }
    if let Ok(address) = text.parse::<SocketAddrV4>() {
        return Some((*address.ip()).into());
    }
    let bare = match text.strip_prefix('[') {
        Some(bracketed) => inside_brackets(bracketed)?,
        None => text,
    };
    let bare = bare.split_once('%').map_or(bare, |(address, _zone)| address);
    let address: Ipv6Addr = bare.parse().ok()?;
    Some(IpAddr::V6(address).to_canonical())
}

/// Whether the text is a list of addresses, as `X-Forwarded-For` is.
pub(super) fn is_list(text: &str) -> bool {
    text.contains(',') && text.split(',').all(|part| parse(part).is_some())
}

/// `::1]:443` or `::1]` to `::1`.
fn inside_brackets(text: &str) -> Option<&str> {
    let (address, rest) = text.split_once(']')?;
    let has_port = rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    (rest.is_empty() || has_port).then_some(address)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn ports_zones_and_mapped_addresses_are_normalized() {
        for (text, expected) in [
            ("1.2.3.4", "1.2.3.4"),
            (" 1.2.3.4 ", "1.2.3.4"),
            ("1.2.3.4:5678", "1.2.3.4"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("[::1]:443", "::1"),
            ("2001:DB8::7", "2001:db8::7"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25eth0]:80", "fe80::1"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
            ("[::ffff:1.2.3.4]:9", "1.2.3.4"),
        ] {
            assert_eq!(parse(text), Some(expected.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn anything_else_is_nothing() {
        for text in [
            "",
            "-",
            "unix:",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.4, 5.6.7.8",
            "1.2.3.4:99999",
            "1.2.3.4%eth0",
            "01.2.3.4",
            "[::1",
            "[::1]x",
            "[1.2.3.4]",
            "localhost",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
