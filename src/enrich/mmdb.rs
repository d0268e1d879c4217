//! Reads MaxMind DB files (<https://maxmind.github.io/MaxMind-DB/>).

use std::fmt;
use std::path::Path;

use maxminddb::{MaxMindDbError, PathElement, Reader};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, Visitor};

use super::EnrichError;

/// Reads a database into memory.
///
/// The file is not memory-mapped: if somebody truncates or overwrites a mapped file, SIGBUS kills
/// the process, and GeoIP updaters do both. The cost is memory of the size of the file (DB-IP
/// City: 135 MB for both address families).
pub(super) fn open(path: &Path) -> Result<Reader<Vec<u8>>, EnrichError> {
    Reader::open_readfile(path).map_err(|error| match error {
        MaxMindDbError::Io(error) => EnrichError::read(path, error),
        error => EnrichError::Mmdb { path: path.into(), problem: error.to_string() },
    })
}

/// Returns the first of `fields` that the records of this database have.
///
/// # Errors
/// None of the first 1,000 records has any of them, so the database is of another kind; or the
/// file is damaged.
pub(super) fn require_field(
    path: &Path,
    reader: &Reader<Vec<u8>>,
    fields: &[&'static str],
) -> Result<&'static str, EnrichError> {
    const RECORDS: usize = 1_000;
    let broken =
        |error: MaxMindDbError| EnrichError::Mmdb { path: path.into(), problem: error.to_string() };
    for record in reader.networks(Default::default()).map_err(broken)?.take(RECORDS) {
        let record = record.map_err(broken)?;
        for field in fields {
            let value: Option<IgnoredAny> =
                record.decode_path(&[PathElement::Key(field)]).map_err(broken)?;
            if value.is_some() {
                return Ok(field);
            }
        }
    }
    Err(EnrichError::WrongDatabase {
        path: path.into(),
        found: reader.metadata().database_type.clone(),
        expected: fields.join("`, `"),
    })
}

/// A number of any type and width. Databases store the same field in different types, and the
/// reader converts none.
#[derive(Clone, Copy)]
pub(super) struct Number(pub f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
        Ok(Number(number as f64))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Number, E> {
        Ok(Number(number as f64))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Number, E> {
        Ok(Number(number))
    }
}
