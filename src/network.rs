//! Classifies networks by their users, and names the organisation that runs a network.

use serde::{Deserialize, Serialize};

/// Who uses the addresses of a network. The kind limits how exactly an address can be located.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NetworkKind {
    /// Homes and offices; also every network of unknown kind.
    #[default]
    Access,
    /// Data centres. Anybody can rent a server there; the location of the server is exact.
    Hosting,
    /// Exits of a private relay. Their users come from a whole country or more.
    Relay,
    /// Exits of a virtual private network. Their users come from anywhere.
    Vpn,
    /// Satellites and aircraft. The ground station may be on another continent than the client.
    Satellite,
    /// Mobile carriers. The gateway may be at the other end of the country.
    Carrier,
    Education,
}

impl NetworkKind {
    /// Whether the users of this kind are machines, or people who hide their location.
    pub const fn is_rented(self) -> bool {
        matches!(self, Self::Hosting | Self::Relay | Self::Vpn)
    }

    /// Whether the location of an exit says little about its users: people change to such
    /// networks without moving.
    pub const fn is_detached(self) -> bool {
        matches!(self, Self::Relay | Self::Vpn | Self::Satellite)
    }

    /// Lower bound, in kilometres, of the radius within which the client is. It holds however
    /// exact a location database claims to be. The values are estimates without a source: a
    /// carrier's gateway may serve a large country, a relay's exit a continent.
    pub const fn least_radius_km(self) -> f64 {
        match self {
            Self::Satellite => 4_000.0,
            Self::Relay => 1_500.0,
            Self::Carrier => 400.0,
            Self::Access | Self::Hosting | Self::Vpn | Self::Education => 0.0,
        }
    }
}

/// Clouds that register many autonomous systems under several names. The first word identifies
/// the cloud.
const FAMILIES: [&str; 10] = [
    "akamai",
    "alibaba",
    "amazon",
    "digitalocean",
    "google",
    "hetzner",
    "microsoft",
    "oracle",
    "ovh",
    "tencent",
];

/// Words of names that do not identify the organisation.
const LEGAL_FORMS: [&str; 14] = [
    "ab",
    "ag",
    "bv",
    "co",
    "company",
    "corp",
    "corporation",
    "gmbh",
    "inc",
    "limited",
    "llc",
    "ltd",
    "plc",
    "sa",
];

/// Number of the organisation that runs the autonomous system `asn` with this registered name.
///
/// Systems with the same name have the same number, whatever their `asn`. Without a usable name,
/// the number is the `asn`. The function must stay the same between releases, because profiles
/// store its result.
pub fn organisation(asn: u32, name: &str) -> u32 {
    if name.is_empty() {
        return asn;
    }
    let name = name.to_ascii_lowercase();
    // The systems of one organisation have handles with a common first word: `AMAZON-02`,
    // `AMAZON-AES`.
    let is_handle = !name.contains(' ') && name.contains('-');
    let parts = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut words = parts.filter(|word| !LEGAL_FORMS.contains(word));
    let Some(first) = words.next() else { return asn };
    if is_handle || FAMILIES.contains(&first) {
        return words_hash([first].into_iter());
    }
    words_hash([first].into_iter().chain(words))
}

/// FNV-1a hash of the words.
fn words_hash<'a>(words: impl Iterator<Item = &'a str>) -> u32 {
    let bytes = words.flat_map(|word| word.bytes().chain([b' ']));
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_with_the_same_name_belong_to_one_organisation() {
        let amazon = organisation(16509, "Amazon.com, Inc.");
        assert_eq!(amazon, organisation(14618, "AMAZON-AES"));
        assert_eq!(amazon, organisation(16509, "AMAZON-02"));
        assert_eq!(amazon, organisation(8987, "Amazon Data Services Ireland Ltd"));
        assert_eq!(organisation(1, "Example GmbH"), organisation(2, "Example, Inc."));
    }

    #[test]
    fn systems_with_different_names_belong_to_different_organisations() {
        let telekom = organisation(3320, "Deutsche Telekom AG");
        assert_ne!(telekom, organisation(60294, "Deutsche Glasfaser Wholesale GmbH"));
        assert_ne!(organisation(1, ""), organisation(2, ""));
        assert_ne!(organisation(1, "Ltd."), organisation(2, "Ltd."));
    }
}
