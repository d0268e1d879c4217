//! Finds the network (autonomous system) of an address in a MaxMind DB or CSV file.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use compact_str::CompactString;
use maxminddb::Reader;
use serde::Deserialize;

use super::EnrichError;
use super::mmdb::{self, Number};
use super::ranges::RangeTable;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct AutonomousSystem {
    pub number: u32,
    pub name: CompactString,
}

pub(super) enum AsnDatabase {
    Mmdb(Reader<Vec<u8>>),
    Ranges(RangeTable),
}

/// The schema of MaxMind's GeoLite2-ASN, which other providers use too.
#[derive(Deserialize)]
struct Record<'a> {
    autonomous_system_number: Option<Number>,
    autonomous_system_organization: Option<&'a str>,
}

impl AsnDatabase {
    /// Reads a file whose name ends in `.mmdb` or `.csv`.
    pub fn open(path: &Path) -> Result<Self, EnrichError> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("mmdb") => {
                let reader = mmdb::open(path)?;
                mmdb::require_field(path, &reader, &["autonomous_system_number"])?;
                Ok(Self::Mmdb(reader))
            }
            Some("csv") => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "read at the start, and when the file is replaced"
                )]
                let csv = fs::read(path).map_err(|error| EnrichError::read(path, error))?;
                RangeTable::read(path, &csv).map(Self::Ranges)
            }
            _ => Err(EnrichError::UnknownKind { path: path.into() }),
        }
    }

    pub fn find(&self, address: IpAddr) -> Option<AutonomousSystem> {
        match self {
            Self::Ranges(table) => table.find(address).cloned(),
            Self::Mmdb(reader) => {
                let record: Record<'_> = reader.lookup(address).ok()?.decode().ok()??;
                Some(AutonomousSystem {
                    number: record.autonomous_system_number?.0 as u32,
                    name: CompactString::new(record.autonomous_system_organization.unwrap_or("")),
                })
            }
        }
    }
}
