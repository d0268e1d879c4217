//! An address or a network, as the address of its page names it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv6Net};
use maud::Render;

/// A page covers at most so much: a larger network is no source, and takes too long to count.
const SHORTEST_IPV4: u8 = 8;
const SHORTEST_IPV6: u8 = 16;

/// IPv6 is counted by networks of this length (`source_usage_hour`).
const COUNTED_IPV6: u8 = 64;

/// Reasons for which a text names no source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSource {
    #[error("it is neither an address nor a network such as 192.0.2.0/24 or 2001:db8::/64")]
    Unreadable,
    #[error("the network of this address is {0}")]
    HostBits(IpNet),
    #[error(
        "the network is too large: give /{SHORTEST_IPV4} or longer, for IPv6 /{SHORTEST_IPV6} or longer"
    )]
    TooLarge,
}

/// An address, or a network in its canonical form: no host bits, and IPv4 never as IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source(IpNet);

impl Source {
    /// # Errors
    /// [`NoSource`].
    pub fn parse(text: &str) -> Result<Self, NoSource> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(IpNet::from(address.to_canonical())));
        }
        let net: IpNet = text.parse().map_err(|_| NoSource::Unreadable)?;
        if net != net.trunc() {
            return Err(NoSource::HostBits(net.trunc()));
        }
        let (net, shortest) = match net {
            IpNet::V4(_) => (net, SHORTEST_IPV4),
            IpNet::V6(net) => (unmapped(net), SHORTEST_IPV6),
        };
        let is_large = net.prefix_len() < shortest || has_all_of_ipv4(net);
        if is_large { Err(NoSource::TooLarge) } else { Ok(Self(net)) }
    }

    /// Whether it is one address.
    pub fn is_address(self) -> bool {
        self.0.prefix_len() == self.0.max_prefix_len()
    }

    /// With its prefix, also if it is one address.
    pub fn network(self) -> IpNet {
        self.0
    }

    fn is_ipv6(self) -> bool {
        matches!(self.0, IpNet::V6(_))
    }

    /// The first and the last address of the range, as the store compares them.
    pub fn ends(self) -> (String, String) {
        (self.0.network().to_string(), self.0.broadcast().to_string())
    }

    /// Whether it is a part of an IPv6 /64, by which requests are counted.
    pub fn is_below_counted(self) -> bool {
        self.is_ipv6() && self.0.prefix_len() > COUNTED_IPV6
    }

    /// Whether all its requests come from one source that is counted.
    pub fn is_one_counted(self) -> bool {
        self.is_address() || (self.is_ipv6() && self.0.prefix_len() >= COUNTED_IPV6)
    }

    /// Whether its addresses are known by their /64 alone.
    pub fn is_many_of_ipv6(self) -> bool {
        self.is_ipv6() && !self.is_one_counted()
    }

    /// The first and the last source of the range that is counted. A /64 is counted under its first
    /// address, and so is a part of it.
    pub fn counted_ends(self) -> (String, String) {
        let (first, last) = self.ends();
        if !self.is_one_counted() {
            return (first, last);
        }
        let whole = IpNet::new(self.0.addr(), COUNTED_IPV6).map(|net| net.network().to_string());
        let source = whole.ok().filter(|_| self.is_ipv6()).unwrap_or(first);
        (source.clone(), source)
    }

    /// Larger sources that contain it: an IPv6 customer has a /64, and stuffing is judged by the /24
    /// or /48.
    pub fn wider(self) -> Vec<Self> {
        let prefixes: &[u8] = if self.is_ipv6() { &[COUNTED_IPV6, 48] } else { &[24] };
        let longer = prefixes.iter().filter(|prefix| **prefix < self.0.prefix_len());
        let wider = longer.filter_map(|prefix| IpNet::new(self.0.addr(), *prefix).ok());
        wider.map(|net| net.trunc()).filter(|net| !has_all_of_ipv4(*net)).map(Self).collect()
    }

    /// The address of its page. The slash of a network is part of the path.
    pub fn page(self) -> String {
        format!("/sources/{self}")
    }
}

/// `::ffff:192.0.2.0/120` is 192.0.2.0/24.
fn unmapped(net: Ipv6Net) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    let mapped = net.addr().to_ipv4_mapped().zip(net.prefix_len().checked_sub(MAPPED_BITS));
    let as_ipv4 = mapped.and_then(|(address, prefix)| IpNet::new(address.into(), prefix).ok());
    as_ipv4.unwrap_or(IpNet::V6(net))
}

/// Whether an IPv6 network has `::ffff:0:0/96` in it, as which IPv4 addresses are stored.
fn has_all_of_ipv4(net: IpNet) -> bool {
    let mapped = IpAddr::V6(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped());
    matches!(net, IpNet::V6(_)) && net.contains(&mapped)
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_address() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

/// Digits, letters a to f, points, colons and a slash: nothing to escape.
impl Render for Source {
    fn render_to(&self, buffer: &mut String) {
        buffer.push_str(&self.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Result<String, NoSource> {
        Source::parse(text).map(|source| source.to_string())
    }

    #[test]
    fn every_source_has_one_name() {
        for (given, name) in [
            ("203.0.113.7", "203.0.113.7"),
            ("203.0.113.7/32", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
            ("203.0.113.0/24", "203.0.113.0/24"),
            ("2001:DB8:0:0::7", "2001:db8::7"),
            ("2001:db8::/64", "2001:db8::/64"),
            ("2001:db8::7/128", "2001:db8::7"),
        ] {
            assert_eq!(text(given).as_deref(), Ok(name), "{given}");
        }
    }

    #[test]
    fn what_is_no_source_is_told_why() {
        for no in ["", "x", "203.0.113", "203.0.113.7/33", "fe80::1%eth0", "203.0.113.07", " ::1"] {
            assert_eq!(text(no), Err(NoSource::Unreadable), "{no}");
        }
        let net = "203.0.113.0/24".parse();
        assert_eq!(text("203.0.113.7/24").err(), net.ok().map(NoSource::HostBits));
        for large in ["0.0.0.0/0", "::/0", "10.0.0.0/7", "::ffff:0:0/96", "::/64", "::/16"] {
            assert_eq!(text(large), Err(NoSource::TooLarge), "{large}");
        }
    }

    #[test]
    fn an_address_knows_the_networks_around_it() {
        let wider = |text: &str| -> Vec<String> {
            let source = Source::parse(text);
            source.into_iter().flat_map(Source::wider).map(|net| net.to_string()).collect()
        };
        assert_eq!(wider("203.0.113.7"), ["203.0.113.0/24"]);
        assert_eq!(wider("2001:db8:1:2::7"), ["2001:db8:1:2::/64", "2001:db8:1::/48"]);
        assert_eq!(wider("2001:db8:1:2::/64"), ["2001:db8:1::/48"]);
        assert_eq!(wider("203.0.113.0/24"), [""; 0]);
        assert_eq!(wider("::1"), [""; 0], "they have all of IPv4");
    }

    #[test]
    fn the_ends_of_a_range_are_its_first_and_last_address() {
        let ends = |text: &str| Source::parse(text).map(Source::ends).ok();
        let both = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(ends("203.0.113.7"), both("203.0.113.7", "203.0.113.7"));
        assert_eq!(ends("203.0.113.0/31"), both("203.0.113.0", "203.0.113.1"));
        assert_eq!(ends("2001:db8::/126"), both("2001:db8::", "2001:db8::3"));
    }

    #[test]
    fn ipv6_is_counted_by_networks_of_64() {
        let ends = |text: &str| Source::parse(text).map(Source::counted_ends).ok();
        let both = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        for part in ["2001:db8:1:2::/64", "2001:db8:1:2::7", "2001:db8:1:2:8000::/65"] {
            assert_eq!(ends(part), both("2001:db8:1:2::", "2001:db8:1:2::"), "{part}");
        }
        assert_eq!(ends("::1"), both("::", "::"), "and not all of IPv4");
        let net = both("2001:db8::", "2001:db8:0:ffff:ffff:ffff:ffff:ffff");
        assert_eq!(ends("2001:db8::/48"), net);
        assert_eq!(ends("203.0.113.7"), both("203.0.113.7", "203.0.113.7"));
        assert_eq!(ends("203.0.113.0/24"), both("203.0.113.0", "203.0.113.255"));
    }
}
