//! Looks up the location and the network of addresses in databases held in memory.

mod asn;
mod cache;
mod city;
mod mmdb;
mod network_kind;
mod places;
mod public;
mod ranges;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::asn::{AsnDatabase, AutonomousSystem};
use self::cache::Cache;
pub use self::city::typical_radius_km;
use self::city::{CityDatabase, FoundPlace};
pub use self::network_kind::network_kind;
use crate::config::EnrichConfig;
use crate::event::{AccessEvent, EnrichedEvent, Origin, RecordPosition, tunnelled_ipv4};
use crate::watched::Watched;

/// Fewest addresses in a full cache; it holds at most twice as many (about 10 MB).
const CACHED_ADDRESSES: usize = 1 << 17;
/// Fewest origins in a full cache. Addresses with equal origins share them.
const CACHED_ORIGINS: usize = 1 << 15;

#[derive(Debug, thiserror::Error)]
pub enum EnrichError {
    #[error("cannot read the database {path}: {source}; put the file there or correct [enrich]")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is not a valid MaxMind DB file: {problem}; download it again")]
    Mmdb { path: PathBuf, problem: String },
    #[error(
        "{path} is a database of the type \"{found}\", but its records need the field \
         `{expected}` here; list it under the right setting of [enrich]"
    )]
    WrongDatabase { path: PathBuf, found: String, expected: String },
    #[error("{}: {problem}; expected lines of first,last,asn,name", at_line(path, *line))]
    Csv { path: PathBuf, line: u64, problem: String },
    #[error("{}: {problem}; expected a place of an address", at_line(path, *line))]
    Place { path: PathBuf, line: u64, problem: String },
    #[error("{path}: the format of the database is unknown; the name must end in .mmdb or .csv")]
    UnknownKind { path: PathBuf },
}

impl EnrichError {
    fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.into(), source }
    }
}

/// Position in a file. Line zero means the whole file.
fn at_line(path: &Path, line: u64) -> String {
    match line {
        0 => path.display().to_string(),
        line => format!("{}:{line}", path.display()),
    }
}

/// Identity of an origin: city database and record, and AS number. It is equal for addresses with
/// equal origins.
type OriginId = (Option<(usize, usize)>, Option<u32>);

/// Adds the origin of the client's address to events.
pub struct Enricher {
    cities: Vec<Watched<CityDatabase, EnrichError>>,
    networks: Vec<Watched<AsnDatabase, EnrichError>>,
    by_address: Cache<IpAddr, Arc<Origin>>,
    by_id: Cache<OriginId, Arc<Origin>>,
    unknown: Arc<Origin>,
    /// Places that count before those of databases.
    given: HashMap<IpAddr, Arc<Origin>>,
}

impl Enricher {
    /// Reads all databases into memory. Without databases, every origin is unknown.
    ///
    /// # Errors
    /// A database cannot be read, is damaged, or is of the wrong kind.
    pub fn open(config: &EnrichConfig) -> Result<Self, EnrichError> {
        let cities = config.city_databases.iter();
        let networks = config.asn_databases.iter();
        Ok(Self {
            cities: cities
                .map(|path| Watched::open(path, CityDatabase::open))
                .collect::<Result<_, _>>()?,
            networks: networks
                .map(|path| Watched::open(path, AsnDatabase::open))
                .collect::<Result<_, _>>()?,
            by_address: Cache::new(CACHED_ADDRESSES),
            by_id: Cache::new(CACHED_ORIGINS),
            unknown: Arc::default(),
            given: config.places.as_deref().map(places::read).transpose()?.unwrap_or_default(),
        })
    }

    /// Adds the origin to each event, in order.
    pub fn enrich(&mut self, events: Vec<(RecordPosition, AccessEvent)>) -> Vec<EnrichedEvent> {
        events
            .into_iter()
            .map(|(position, event)| {
                let origin = self.origin(event.client_ip);
                EnrichedEvent { event, position, origin }
            })
            .collect()
    }

    /// The origin of one address. Equal origins share one allocation.
    pub fn origin(&mut self, address: IpAddr) -> Arc<Origin> {
        if let Some(origin) = self.by_address.get(&address) {
            return origin;
        }
        let origin = self.look_up(address);
        self.by_address.insert(address, origin.clone());
        origin
    }

    fn look_up(&mut self, address: IpAddr) -> Arc<Origin> {
        if let Some(origin) = self.given.get(&address) {
            return origin.clone();
        }
        let address = tunnelled_ipv4(address).map_or(address, IpAddr::V4);
        if !public::is_public(address) {
            return self.unknown.clone();
        }
        let place = self
            .cities
            .iter()
            .enumerate()
            .find_map(|(index, city)| city.value.find(address).map(|found| (index, found)));
        let network = self.networks.iter().find_map(|network| network.value.find(address));
        let id = (
            place.as_ref().map(|(index, found)| (*index, found.record)),
            network.as_ref().map(|network| network.number),
        );
        if let Some(origin) = self.by_id.get(&id) {
            return origin;
        }
        let origin = Arc::new(origin(place.map(|(_, found)| found), network));
        self.by_id.insert(id, origin.clone());
        origin
    }

    /// Reloads databases whose files were replaced. Returns whether any was reloaded.
    ///
    /// # Errors
    /// A new file cannot be used. Each such file is reported once, and its old database stays in
    /// use.
    pub fn reload_if_replaced(&mut self) -> Result<bool, EnrichError> {
        let cities = self.cities.iter_mut().map(Watched::reload_if_replaced);
        let networks = self.networks.iter_mut().map(Watched::reload_if_replaced);
        // Collect first, so that one failure does not keep the others from reloading.
        let outcomes: Vec<_> = cities.chain(networks).collect();
        let replaced = outcomes.iter().any(|outcome| matches!(outcome, Ok(true)));
        if replaced {
            self.by_address.clear();
            self.by_id.clear();
        }
        outcomes.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(replaced)
    }
}

fn origin(place: Option<FoundPlace<'_>>, network: Option<AutonomousSystem>) -> Origin {
    let place = place.map(|found| found.decode()).unwrap_or_default();
    let (asn, as_name) = network.map(|network| (network.number, network.name)).unwrap_or_default();
    let kind = network_kind(asn, &as_name);
    Origin {
        country: place.country,
        region: place.region,
        city: place.city,
        coordinates: place.coordinates.map(|place| place.at_least_within(kind.least_radius_km())),
        kind,
        asn,
        as_name,
    }
}
