//! Remembers the networks, countries and regions of a key's replaced sites.

use serde::{Deserialize, Serialize};

use super::Site;
use crate::event::Origin;

/// Most hashes kept for one key. A new hash replaces the oldest.
const MAX_HASHES: usize = 192;

/// Hashes of networks, countries and regions, oldest first. Empty for a key of few places.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Past(Vec<u32>);

impl Past {
    pub const NONE: Self = Self(Vec::new());

    /// Remembers the network, the country and the region of a replaced site.
    pub fn take_in(&mut self, site: &Site) {
        let region = region_hash(&site.country, &site.region);
        for hash in [network_hash(site.organisation), country_hash(&site.country), region] {
            if self.0.contains(&hash) {
                continue;
            }
            if self.0.len() >= MAX_HASHES {
                self.0.remove(0);
            }
            self.0.push(hash);
        }
    }

    pub fn has_network(&self, organisation: u32) -> bool {
        self.has(network_hash(organisation))
    }

    pub fn has_country(&self, origin: &Origin) -> bool {
        self.has(country_hash(&origin.country))
    }

    pub fn has_region(&self, origin: &Origin) -> bool {
        self.has(region_hash(&origin.country, &origin.region))
    }

    fn has(&self, hash: u32) -> bool {
        self.0.contains(&hash)
    }
}

const fn network_hash(organisation: u32) -> u32 {
    organisation.rotate_left(1)
}

fn country_hash(country: &str) -> u32 {
    fnv(country.bytes())
}

fn region_hash(country: &str, region: &str) -> u32 {
    fnv(country.bytes().chain([0]).chain(region.bytes()))
}

/// FNV-1a hash of the bytes.
fn fnv(bytes: impl Iterator<Item = u8>) -> u32 {
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
