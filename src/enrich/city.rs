//! Finds the location of an address in a city database.

use std::net::IpAddr;
use std::path::Path;

use compact_str::CompactString;
use maxminddb::{LookupResult, Reader};
use serde::Deserialize;

use super::EnrichError;
use super::mmdb::{self, Number};
use crate::event::Coordinates;

// Radii for records without one: the typical size of a city, a region and a country. MaxMind's own
// radii for such records are of the same order.
const CITY_RADIUS_KM: f64 = 50.0;
const REGION_RADIUS_KM: f64 = 200.0;
const COUNTRY_RADIUS_KM: f64 = 500.0;

/// Typical radius in kilometres of a place, by the most exact name that is known.
pub const fn typical_radius_km(city: &str, region: &str) -> f64 {
    match (city.is_empty(), region.is_empty()) {
        (false, _) => CITY_RADIUS_KM,
        (true, false) => REGION_RADIUS_KM,
        (true, true) => COUNTRY_RADIUS_KM,
    }
}

#[derive(Clone, Copy)]
enum Schema {
    /// GeoIP2 and GeoLite2 City: nested records, with names by language.
    MaxMind,
    /// DB-IP as packaged by `@ip-location-db`: flat records.
    Flat,
}

pub(super) struct CityDatabase {
    reader: Reader<Vec<u8>>,
    schema: Schema,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Place {
    pub country: CompactString,
    pub region: CompactString,
    pub city: CompactString,
    pub coordinates: Option<Coordinates>,
}

/// The record of an address, not decoded yet.
pub(super) struct FoundPlace<'a> {
    schema: Schema,
    result: LookupResult<'a, Vec<u8>>,
    /// Offset of the record. It is equal for addresses with the same record.
    pub record: usize,
}

impl CityDatabase {
    /// Reads a MaxMind DB file of either schema.
    pub fn open(path: &Path) -> Result<Self, EnrichError> {
        let reader = mmdb::open(path)?;
        let schema = match mmdb::require_field(path, &reader, &["country_code", "country"])? {
            "country_code" => Schema::Flat,
            _ => Schema::MaxMind,
        };
        Ok(Self { reader, schema })
    }

    /// The record of `address`. `None` if the database has none.
    pub fn find(&self, address: IpAddr) -> Option<FoundPlace<'_>> {
        // An error means that the database has no addresses of this family, or that the record is
        // damaged. The place is unknown in both cases.
        let result = self.reader.lookup(address).ok()?;
        Some(FoundPlace { schema: self.schema, record: result.offset()?, result })
    }
}

impl FoundPlace<'_> {
    /// The place of this record. It is unknown if the record is damaged or names no country.
    pub fn decode(&self) -> Place {
        let place = match self.schema {
            Schema::MaxMind => self.result.decode().ok().flatten().map(MaxMindRecord::place),
            Schema::Flat => self.result.decode().ok().flatten().map(FlatRecord::place),
        };
        place.filter(|place| !place.country.is_empty()).unwrap_or_default()
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MaxMindRecord<'a> {
    #[serde(borrow)]
    country: Division<'a>,
    #[serde(borrow)]
    subdivisions: Vec<Division<'a>>,
    #[serde(borrow)]
    city: Division<'a>,
    location: Location,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Division<'a> {
    iso_code: &'a str,
    #[serde(borrow)]
    names: Names<'a>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Names<'a> {
    en: &'a str,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Location {
    latitude: Option<Number>,
    longitude: Option<Number>,
    accuracy_radius: Option<Number>,
}

impl MaxMindRecord<'_> {
    fn place(self) -> Place {
        let subdivision = self.subdivisions.first().copied().unwrap_or_default();
        let region = match subdivision.names.en {
            "" => subdivision.iso_code,
            name => name,
        };
        let place = Place::new(self.country.iso_code, region, self.city.names.en);
        place.at(self.location.latitude, self.location.longitude, self.location.accuracy_radius)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FlatRecord<'a> {
    country_code: &'a str,
    state1: &'a str,
    city: &'a str,
    latitude: Option<Number>,
    longitude: Option<Number>,
}

impl FlatRecord<'_> {
    fn place(self) -> Place {
        let place = Place::new(self.country_code, self.state1, self.city);
        place.at(self.latitude, self.longitude, None)
    }
}

impl Place {
    fn new(country: &str, region: &str, city: &str) -> Self {
        let mut country = CompactString::new(country);
        country.make_ascii_uppercase();
        Self { country, region: region.into(), city: city.into(), coordinates: None }
    }

    fn at(
        mut self,
        latitude: Option<Number>,
        longitude: Option<Number>,
        radius_km: Option<Number>,
    ) -> Self {
        let accuracy_km = match radius_km {
            Some(Number(radius)) if radius > 0.0 => radius,
            _ => typical_radius_km(&self.city, &self.region),
        };
        if let (Some(Number(latitude)), Some(Number(longitude))) = (latitude, longitude) {
            let exists = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
            // Databases write 0, 0 for unknown coordinates. That place is in the open sea.
            let is_known = (latitude, longitude) != (0.0, 0.0);
            self.coordinates =
                (exists && is_known).then_some(Coordinates { latitude, longitude, accuracy_km });
        }
        self
    }
}
