//! Where an address is and whose network it belongs to. What is not known stays unknown.

mod asn;
mod cache;
mod city;
mod hosting;
mod mmdb;
mod public;
mod ranges;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod watched;

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::asn::{AsnDatabase, AutonomousSystem};
use self::cache::Cache;
pub use self::city::typical_radius_km;
use self::city::{CityDatabase, FoundPlace};
pub use self::hosting::is_hosting;
use self::watched::Watched;
use crate::config::EnrichConfig;
use crate::event::{AccessEvent, EnrichedEvent, Origin, RecordPosition};

/// Addresses whose origin is remembered, at least; at most twice as many (about 10 MB).
const CACHED_ADDRESSES: usize = 1 << 17;
/// Distinct origins that are shared between addresses, at least.
const CACHED_ORIGINS: usize = 1 << 15;

#[derive(Debug, thiserror::Error)]
pub enum EnrichError {
    #[error("cannot read the database {path}: {source}; put the file there or correct [enrich]")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is no usable MaxMind DB file: {problem}; fetch it again")]
    Mmdb { path: PathBuf, problem: String },
    #[error(
        "{path} is a database of the type \"{found}\", but records with the field `{expected}` \
         are needed here; list it in the right place of [enrich]"
    )]
    WrongDatabase { path: PathBuf, found: String, expected: String },
    #[error("{}: {problem}; expected lines of first,last,asn,name", at_line(path, *line))]
    Csv { path: PathBuf, line: u64, problem: String },
    #[error("{path}: the name must end in .mmdb or .csv, which tells how to read the database")]
    UnknownKind { path: PathBuf },
}

impl EnrichError {
    fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.into(), source }
    }
}

/// Line zero is the file as a whole.
fn at_line(path: &Path, line: u64) -> String {
    match line {
        0 => path.display().to_string(),
        line => format!("{}:{line}", path.display()),
    }
}

/// Which city record and which network: equal for addresses with equal origins.
type OriginId = (Option<(usize, usize)>, Option<u32>);

/// Adds the origin of the client's address to events.
pub struct Enricher {
    cities: Vec<Watched<CityDatabase>>,
    networks: Vec<Watched<AsnDatabase>>,
    by_address: Cache<IpAddr, Arc<Origin>>,
    by_id: Cache<OriginId, Arc<Origin>>,
    unknown: Arc<Origin>,
}

impl Enricher {
    /// Reads all databases into memory. Without any, every origin is unknown.
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
        })
    }

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
        if !public::is_public(address) {
            return self.unknown.clone();
        }
        let place = self
            .cities
            .iter()
            .enumerate()
            .find_map(|(index, city)| city.database.find(address).map(|found| (index, found)));
        let network = self.networks.iter().find_map(|network| network.database.find(address));
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

    /// Reads databases again that were replaced, and says whether there were any. A new file
    /// that cannot be read is reported once; the old database stays in use.
    pub fn reload_if_replaced(&mut self) -> Result<bool, EnrichError> {
        let cities = self.cities.iter_mut().map(Watched::reload_if_replaced);
        let networks = self.networks.iter_mut().map(Watched::reload_if_replaced);
        // All of them, also after one has failed.
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
    Origin {
        country: place.country,
        region: place.region,
        city: place.city,
        coordinates: place.coordinates,
        is_hosting: is_hosting(asn, &as_name),
        asn,
        as_name,
    }
}
