//! Reads places of addresses from a file: those that a case brings, as they were known then.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::{EnrichError, network_kind, typical_radius_km};
use crate::event::{Coordinates, Origin};

/// One line of the file.
#[derive(Deserialize)]
struct Place {
    address: IpAddr,
    country: String,
    region: String,
    city: String,
    latitude: Option<f64>,
    longitude: Option<f64>,
    asn: u32,
    as_name: String,
}

/// Reads the places once, at the start; later lines of an address count.
///
/// # Errors
/// The file cannot be read, or a line is not a place.
#[expect(clippy::disallowed_methods, reason = "read at the start")]
pub(super) fn read(path: &Path) -> Result<HashMap<IpAddr, Arc<Origin>>, EnrichError> {
    let text = fs::read_to_string(path).map_err(|error| EnrichError::read(path, error))?;
    let place = |(index, line): (usize, &str)| {
        let place = serde_json::from_str::<Place>(line).map_err(|error| EnrichError::Place {
            path: path.into(),
            line: index as u64 + 1,
            problem: error.to_string(),
        })?;
        Ok((place.address.to_canonical(), Arc::new(place.origin())))
    };
    text.lines().enumerate().map(place).collect()
}

impl Place {
    /// The accuracy of coordinates is not stored; it is that of the kind of place.
    fn origin(self) -> Origin {
        let kind = network_kind(self.asn, &self.as_name);
        let accuracy_km = typical_radius_km(&self.city, &self.region).max(kind.least_radius_km());
        let coordinates = self.latitude.zip(self.longitude);
        Origin {
            coordinates: coordinates.map(|(latitude, longitude)| Coordinates {
                latitude,
                longitude,
                accuracy_km,
            }),
            country: self.country.into(),
            region: self.region.into(),
            city: self.city.into(),
            asn: self.asn,
            as_name: self.as_name.into(),
            kind,
        }
    }
}
