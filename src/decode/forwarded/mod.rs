//! Finds the client's address behind proxies: walks the forwarded header from the right through the
//! networks of `decode.trusted_proxies`.
//!
//! Whoever sends a request writes the left part of the header. Each proxy appends the address that
//! it saw, so only the right part, as far as trusted proxies wrote it, can be believed.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use ipnet::IpNet;

use super::{DecodeError, address};

/// Addresses that are read of one header. Chains of proxies are far shorter.
const MAX_HOPS: usize = 32;
/// Bytes that are read of one element. `Forwarded` may name a host beside the address.
const MAX_ELEMENT_BYTES: usize = 512;

/// The networks of the proxies whose forwarded headers are believed.
#[derive(Debug, Default)]
pub(super) struct Proxies(Vec<IpNet>);

impl Proxies {
    /// # Errors
    /// A network cannot be read, or names all addresses.
    pub fn new(networks: &[String]) -> Result<Self, DecodeError> {
        networks.iter().map(|text| network(text)).collect::<Result<_, _>>().map(Self)
    }

    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Returns the nearest address that is not a trusted proxy's, or the farthest if all are.
    /// `None`: the address that the last proxy wrote cannot be read.
    ///
    /// `header` is a value of `X-Forwarded-For`, of `Forwarded` (RFC 7239), or a single address.
    pub fn client(&self, header: &str) -> Option<IpAddr> {
        let mut client = None;
        for element in FromRight(Some(header)).take(MAX_HOPS) {
            if element.is_empty() {
                continue;
            }
            let Some(address) = hop(element) else { break };
            client = Some(address);
            if !self.trusts(address) {
                break;
            }
        }
        client
    }
}

/// Reads `10.0.0.0/8`, or a single address.
fn network(text: &str) -> Result<IpNet, DecodeError> {
    let network = text.parse::<IpNet>().or_else(|error| {
        text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical())).map_err(|_| error)
    });
    match network {
        Ok(network) if network.prefix_len() > 0 => Ok(network),
        Ok(_) => Err(DecodeError::ProxiesEverywhere { network: text.to_owned() }),
        Err(_) => Err(DecodeError::BadProxy { network: text.to_owned() }),
    }
}

/// The elements of a list from the last to the first. Ends at an element that is too long or whose
/// quotes do not match.
///
/// From the right, because a quote that an outsider leaves open would swallow, from the left, what
/// the proxies appended.
struct FromRight<'a>(Option<&'a str>);

impl<'a> Iterator for FromRight<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0.take()?;
        let bytes = rest.as_bytes();
        let mut is_quoted = false;
        for at in (0..bytes.len()).rev().take(MAX_ELEMENT_BYTES) {
            match bytes[at] {
                b'"' if !(is_quoted && is_escaped(bytes, at)) => is_quoted = !is_quoted,
                b',' if !is_quoted => {
                    self.0 = Some(&rest[..at]);
                    return Some(rest[at + 1..].trim());
                }
                _ => {}
            }
        }
        (!is_quoted && bytes.len() <= MAX_ELEMENT_BYTES).then(|| rest.trim())
    }
}

/// Whether an odd number of backslashes stands before the character.
fn is_escaped(bytes: &[u8], at: usize) -> bool {
    let before = bytes[..at].iter().rev().take(MAX_ELEMENT_BYTES);
    before.take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Reads the address of one element: `192.0.2.1:8080`, or `for="[2001:db8::1]:8080";proto=https`.
fn hop(element: &str) -> Option<IpAddr> {
    let node = if element.contains('=') { for_parameter(element)? } else { element };
    let node = node.trim().trim_matches('"');
    // RFC 7239 section 6.2: a proxy may hide the port behind a name.
    address::parse(node.rsplit_once(":_").map_or(node, |(address, _)| address))
}

/// Returns the parameter `for`; `None` if it is missing or not unique.
fn for_parameter(element: &str) -> Option<&str> {
    let mut is_quoted = false;
    let pairs = element.split(move |c| {
        is_quoted ^= c == '"';
        c == ';' && !is_quoted
    });
    let named = pairs.filter_map(|pair| pair.split_once('='));
    let mut nodes = named.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    let (_, node) = nodes.next()?;
    nodes.next().is_none().then_some(node)
}
