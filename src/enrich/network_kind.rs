//! Classifies autonomous systems by kind of network.
//!
//! There is no open list of all networks with their kinds. The best-known networks are listed here
//! by number, and the others are classified by words in their names. The result may be wrong, so
//! it only changes the weight of evidence, and is never evidence itself.

use crate::network::NetworkKind;

/// Networks whose names do not reveal their kind, sorted by number.
const KNOWN: [(u32, NetworkKind); 81] = [
    (714, NetworkKind::Relay),       // Apple
    (2516, NetworkKind::Carrier),    // KDDI
    (4913, NetworkKind::Satellite),  // Speedcast
    (6167, NetworkKind::Carrier),    // Verizon Wireless
    (6185, NetworkKind::Relay),      // Apple
    (7155, NetworkKind::Satellite),  // Viasat
    (7224, NetworkKind::Hosting),    // Amazon
    (8068, NetworkKind::Hosting),    // Microsoft
    (8069, NetworkKind::Hosting),    // Microsoft
    (8075, NetworkKind::Hosting),    // Microsoft
    (8987, NetworkKind::Hosting),    // Amazon
    (9009, NetworkKind::Vpn),        // M247
    (9605, NetworkKind::Carrier),    // NTT Docomo
    (9644, NetworkKind::Carrier),    // SK Telecom
    (11878, NetworkKind::Vpn),       // tzulo
    (12576, NetworkKind::Carrier),   // EE
    (12876, NetworkKind::Hosting),   // Scaleway
    (13335, NetworkKind::Relay),     // Cloudflare
    (14061, NetworkKind::Hosting),   // DigitalOcean
    (14593, NetworkKind::Satellite), // Starlink
    (14618, NetworkKind::Hosting),   // Amazon
    (15169, NetworkKind::Hosting),   // Google
    (16276, NetworkKind::Hosting),   // OVH
    (16509, NetworkKind::Hosting),   // Amazon
    (17676, NetworkKind::Carrier),   // SoftBank
    (18747, NetworkKind::Satellite), // Gogo
    (19318, NetworkKind::Hosting),   // Interserver
    (20057, NetworkKind::Carrier),   // AT&T Mobility
    (20473, NetworkKind::Hosting),   // Vultr
    (21928, NetworkKind::Carrier),   // T-Mobile USA
    (22351, NetworkKind::Satellite), // Intelsat
    (22394, NetworkKind::Carrier),   // Verizon Wireless
    (22612, NetworkKind::Hosting),   // Namecheap
    (23005, NetworkKind::Satellite), // Switch, in aircraft
    (24608, NetworkKind::Carrier),   // Wind Tre
    (24940, NetworkKind::Hosting),   // Hetzner
    (25135, NetworkKind::Carrier),   // Vodafone UK
    (26599, NetworkKind::Carrier),   // Telefonica Brasil
    (26615, NetworkKind::Carrier),   // TIM Brasil
    (29180, NetworkKind::Carrier),   // O2 UK
    (29975, NetworkKind::Carrier),   // Vodacom
    (31515, NetworkKind::Satellite), // Inmarsat
    (31898, NetworkKind::Hosting),   // Oracle
    (36183, NetworkKind::Relay),     // Akamai
    (36351, NetworkKind::Hosting),   // SoftLayer
    (37963, NetworkKind::Hosting),   // Alibaba
    (38266, NetworkKind::Carrier),   // Vodafone Idea
    (39351, NetworkKind::Vpn),       // 31173 Services
    (40306, NetworkKind::Satellite), // Viasat
    (45090, NetworkKind::Hosting),   // Tencent
    (45102, NetworkKind::Hosting),   // Alibaba
    (45609, NetworkKind::Carrier),   // Bharti Airtel
    (46606, NetworkKind::Hosting),   // Unified Layer
    (51167, NetworkKind::Hosting),   // Contabo
    (51207, NetworkKind::Carrier),   // Free Mobile
    (53667, NetworkKind::Hosting),   // FranTech
    (54113, NetworkKind::Relay),     // Fastly
    (55836, NetworkKind::Carrier),   // Reliance Jio
    (60068, NetworkKind::Vpn),       // Datacamp
    (60781, NetworkKind::Hosting),   // LeaseWeb
    (63949, NetworkKind::Hosting),   // Linode
    (64294, NetworkKind::Satellite), // Panasonic Avionics
    (132203, NetworkKind::Hosting),  // Tencent
    (136787, NetworkKind::Vpn),      // PacketHub
    (141039, NetworkKind::Vpn),      // PacketHub
    (147049, NetworkKind::Vpn),      // PacketHub
    (199218, NetworkKind::Vpn),      // Proton
    (202425, NetworkKind::Hosting),  // IP Volume
    (206067, NetworkKind::Carrier),  // Three UK
    (207137, NetworkKind::Vpn),      // PacketHub
    (208172, NetworkKind::Vpn),      // Proton
    (209103, NetworkKind::Vpn),      // Proton
    (212238, NetworkKind::Vpn),      // Datacamp
    (212317, NetworkKind::Hosting),  // Hetzner
    (213230, NetworkKind::Hosting),  // Hetzner
    (215859, NetworkKind::Hosting),  // Hetzner
    (216025, NetworkKind::Vpn),      // Mullvad
    (268904, NetworkKind::Vpn),      // Private Internet Access
    (394089, NetworkKind::Hosting),  // Google
    (396982, NetworkKind::Hosting),  // Google Cloud
    (397540, NetworkKind::Vpn),      // Windscribe
];

/// Words in names that reveal the kind. The first kind with a match counts.
const WORDS: [(NetworkKind, &[&str]); 5] = [
    (
        NetworkKind::Satellite,
        &[
            "satellite",
            "starlink",
            "viasat",
            "hughes network",
            "panasonic avionics",
            "gogo",
            "onair",
            "inmarsat",
            "iridium",
            "intelsat",
            "oneweb",
            "anuvu",
            "global eagle",
        ],
    ),
    (NetworkKind::Vpn, &["vpn", "mullvad", "surfshark", "windscribe"]),
    (
        NetworkKind::Hosting,
        &[
            "hosting",
            "cloud",
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
        ],
    ),
    (NetworkKind::Education, &["university", "universit", "college", "academic", "research"]),
    (NetworkKind::Carrier, &["mobile", "mobili", "wireless", "cellular", "cellco"]),
];

/// The kind of the autonomous system with this number and name. An unknown one is
/// [`NetworkKind::Access`].
pub fn network_kind(asn: u32, name: &str) -> NetworkKind {
    if let Ok(index) = KNOWN.binary_search_by_key(&asn, |known| known.0) {
        return KNOWN[index].1;
    }
    let name = name.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let kind = WORDS.iter().find(|(_, words)| says(words)).map(|(kind, _)| *kind);
    kind.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers_are_sorted_for_the_binary_search() {
        assert!(KNOWN.is_sorted_by_key(|known| known.0));
    }

    #[test]
    fn hosting_access_and_carrier_networks_are_distinguished() {
        assert_eq!(network_kind(24940, "Hetzner Online GmbH"), NetworkKind::Hosting);
        assert_eq!(network_kind(1, "Example VPS Hosting Ltd"), NetworkKind::Hosting);
        assert_eq!(network_kind(3320, "Deutsche Telekom AG"), NetworkKind::Access);
        assert_eq!(network_kind(7018, "AT&T Services, Inc."), NetworkKind::Access);
        assert_eq!(network_kind(1, "Example Wireless"), NetworkKind::Carrier);
    }

    #[test]
    fn relays_vpns_satellites_and_universities_are_recognised() {
        assert_eq!(network_kind(36183, "Akamai Technologies, Inc."), NetworkKind::Relay);
        assert_eq!(network_kind(14593, "Space Exploration Technologies"), NetworkKind::Satellite);
        assert_eq!(network_kind(1, "Example VPN Services"), NetworkKind::Vpn);
        assert_eq!(network_kind(1, "University of Example"), NetworkKind::Education);
    }
}
