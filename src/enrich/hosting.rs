//! Whether a network hosts servers or VPN exits rather than people.
//!
//! No open list says so for every network. This is a judgement from the number of the best
//! known ones and the words that the others put into their names; it only ever weights
//! evidence, it never is evidence.

/// Clouds, hosters and VPN carriers whose names do not tell.
const KNOWN: [u32; 28] = [
    8075,   // Microsoft
    9009,   // M247
    12876,  // Scaleway
    13335,  // Cloudflare
    14061,  // DigitalOcean
    14618,  // Amazon
    15169,  // Google
    16276,  // OVH
    16509,  // Amazon
    19318,  // Interserver
    20473,  // Vultr
    22612,  // Namecheap
    24940,  // Hetzner
    31898,  // Oracle
    36351,  // SoftLayer
    37963,  // Alibaba
    45090,  // Tencent
    45102,  // Alibaba
    46606,  // Unified Layer
    51167,  // Contabo
    53667,  // FranTech
    60068,  // Datacamp
    60781,  // LeaseWeb
    63949,  // Linode
    132203, // Tencent
    202425, // IP Volume
    212238, // Datacamp
    396982, // Google Cloud
];

const WORDS: [&str; 13] = [
    "hosting",
    "cloud",
    "vpn",
    "datacenter",
    "data center",
    "server",
    "colo",
    "vps",
    "proxy",
    "leaseweb",
    "dedicated",
    "hostroyale",
    "compute",
];

/// True when the autonomous system is known, or names itself, as a hoster or VPN.
pub fn is_hosting(asn: u32, name: &str) -> bool {
    if KNOWN.binary_search(&asn).is_ok() {
        return true;
    }
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers_are_sorted_for_the_search() {
        assert!(KNOWN.is_sorted());
    }

    #[test]
    fn hosters_are_told_from_carriers() {
        assert!(is_hosting(24940, "Hetzner Online GmbH"));
        assert!(is_hosting(1, "Example VPS Hosting Ltd"));
        assert!(!is_hosting(3320, "Deutsche Telekom AG"));
        assert!(!is_hosting(7018, "AT&T Services, Inc."));
    }
}
