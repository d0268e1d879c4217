//! Remembers the networks, countries and regions of a key's replaced sites, and which of them were
//! reported.

use serde::{Deserialize, Serialize};

use super::Site;
use crate::event::Origin;

/// Most hashes kept for one key. A new hash replaces the oldest.
const MAX_HASHES: usize = 192;

/// Most reported sites kept for one key, likewise.
const MAX_TOLD: usize = 64;

/// Hashes, oldest first. Empty for a key of few places.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Past {
    /// Networks, countries and regions that are the key's own.
    own: Vec<u32>,
    /// Sites that were reported, and replaced before they became the key's own.
    told: Vec<u32>,
}

impl Past {
    pub const NONE: Self = Self { own: Vec::new(), told: Vec::new() };

    /// Remembers that a replaced site was reported: to report it again would call it new twice.
    pub fn note_told(&mut self, site: &Site) {
        keep(&mut self.told, site_hash(site.asn, &site.country, &site.region), MAX_TOLD);
    }

    pub fn was_told(&self, origin: &Origin) -> bool {
        self.told.contains(&site_hash(origin.asn, &origin.country, &origin.region))
    }

    /// Remembers the network, the country and the region of a replaced site.
    pub fn take_in(&mut self, site: &Site) {
        let region = region_hash(&site.country, &site.region);
        for hash in [network_hash(site.organisation), country_hash(&site.country), region] {
            keep(&mut self.own, hash, MAX_HASHES);
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
        self.own.contains(&hash)
    }
}

/// Adds a hash that is missing. The oldest gives way.
fn keep(hashes: &mut Vec<u32>, hash: u32, most: usize) {
    if hashes.contains(&hash) {
        return;
    }
    if hashes.len() >= most {
        hashes.remove(0);
    }
    hashes.push(hash);
}

fn site_hash(asn: u32, country: &str, region: &str) -> u32 {
    network_hash(asn) ^ region_hash(country, region)
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
