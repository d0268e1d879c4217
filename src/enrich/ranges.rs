//! Finds autonomous systems by address range, from CSV files.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use compact_str::CompactString;

use super::{AutonomousSystem, EnrichError};

/// Sorted address ranges of autonomous systems.
///
/// An IPv4 range takes 12 bytes, an IPv6 range 36. Each system is stored only once. Ranges overlap
/// in published data. An address in two ranges belongs to the range that begins later.
#[derive(Default)]
pub(super) struct RangeTable {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
    systems: Vec<AutonomousSystem>,
}

/// Ranges as columns instead of rows, so that a search reads only the first addresses.
#[derive(Default)]
struct Ranges<N> {
    first: Vec<N>,
    last: Vec<N>,
    system: Vec<u32>,
}

impl RangeTable {
    /// Reads lines of `first,last,asn,name` with inclusive bounds, both address families
    /// in any order.
    ///
    /// # Errors
    /// A line cannot be read, which the error names, or the file has no lines.
    pub fn read(path: &Path, csv: &[u8]) -> Result<Self, EnrichError> {
        let fault =
            |line: u64, problem: String| EnrichError::Csv { path: path.into(), line, problem };
        let mut rows = Rows::default();
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(csv);
        let mut record = csv::StringRecord::new();
        loop {
            let line = reader.position().line();
            match reader.read_record(&mut record) {
                Ok(true) => rows.add(&record).map_err(|problem| fault(line, problem))?,
                Ok(false) => break,
                Err(error) => return Err(fault(line, error.to_string())),
            }
        }
        rows.finish().map_err(|problem| fault(0, problem))
    }

    /// The system whose range contains `address`.
    pub fn find(&self, address: IpAddr) -> Option<&AutonomousSystem> {
        let system = match address {
            IpAddr::V4(address) => self.v4.find(address.to_bits()),
            IpAddr::V6(address) => self.v6.find(address.to_bits()),
        };
        self.systems.get(system? as usize)
    }
}

impl<N: Copy + Ord> Ranges<N> {
    /// Sorts rows of `(first, last, index of the system)`.
    fn new(mut rows: Vec<(N, N, u32)>) -> Self {
        rows.sort_unstable();
        Self {
            first: rows.iter().map(|row| row.0).collect(),
            last: rows.iter().map(|row| row.1).collect(),
            system: rows.iter().map(|row| row.2).collect(),
        }
    }

    fn find(&self, address: N) -> Option<u32> {
        let index = self.first.partition_point(|first| *first <= address).checked_sub(1)?;
        (address <= self.last[index]).then(|| self.system[index])
    }
}

#[derive(Default)]
struct Rows {
    v4: Vec<(u32, u32, u32)>,
    v6: Vec<(u128, u128, u32)>,
    systems: Vec<AutonomousSystem>,
    known: HashMap<AutonomousSystem, u32>,
}

impl Rows {
    fn add(&mut self, record: &csv::StringRecord) -> Result<(), String> {
        let column = |index: usize| record.get(index).unwrap_or_default().trim();
        let address =
            |text: &str| text.parse().map_err(|_| format!("\"{text}\" is not an IP address"));
        let (first, last): (IpAddr, IpAddr) = (address(column(0))?, address(column(1))?);
        let number = column(2).parse().map_err(|_| format!("\"{}\" is not an ASN", column(2)))?;
        let system = self.intern(AutonomousSystem { number, name: CompactString::new(column(3)) });
        match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
                self.v4.push((first.to_bits(), last.to_bits(), system));
            }
            (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
                self.v6.push((first.to_bits(), last.to_bits(), system));
            }
            _ => return Err(format!("{first} to {last} is not a range")),
        }
        Ok(())
    }

    fn intern(&mut self, system: AutonomousSystem) -> u32 {
        if let Some(index) = self.known.get(&system) {
            return *index;
        }
        let index = self.systems.len() as u32;
        self.systems.push(system.clone());
        self.known.insert(system, index);
        index
    }

    fn finish(self) -> Result<RangeTable, String> {
        if self.systems.is_empty() {
            return Err("the file has no ranges".into());
        }
        Ok(RangeTable { v4: Ranges::new(self.v4), v6: Ranges::new(self.v6), systems: self.systems })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn read(csv: &str) -> Result<RangeTable, String> {
        RangeTable::read(Path::new("asn.csv"), csv.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_find_the_range_around_them() {
        let table = read(
            "2001:db8::,2001:db8::ff,64500,Six\n\
             9.9.9.0,9.9.9.255,64496,\"Quad, Inc.\"\n\
             1.0.0.0,1.0.0.255,64497,One\n",
        )
        .unwrap();
        let asn = |ip: &str| table.find(ip.parse().unwrap()).map(|system| system.number);
        assert_eq!(asn("1.0.0.0"), Some(64_497));
        assert_eq!(asn("1.0.0.255"), Some(64_497));
        assert_eq!(asn("1.0.1.0"), None);
        assert_eq!(asn("0.255.255.255"), None);
        assert_eq!(asn("9.9.9.9"), Some(64_496));
        assert_eq!(asn("2001:db8::7"), Some(64_500));
        assert_eq!(asn("2001:db8::100"), None);
        assert_eq!(table.find("9.9.9.9".parse().unwrap()).unwrap().name, "Quad, Inc.");
    }

    #[test]
    fn an_address_in_two_ranges_belongs_to_the_one_that_begins_later() {
        let table = read("1.0.0.0,1.0.0.9,1,A\n1.0.0.5,1.0.0.20,2,B\n").unwrap();
        let asn = |ip: &str| table.find(ip.parse().unwrap()).map(|system| system.number);
        assert_eq!([asn("1.0.0.4"), asn("1.0.0.5"), asn("1.0.0.20")], [Some(1), Some(2), Some(2)]);
    }

    #[test]
    fn systems_are_stored_once() {
        let table = read("1.0.0.0,1.0.0.9,1,A\n1.0.1.0,1.0.1.9,1,A\n1.0.2.0,1.0.2.9,2,B").unwrap();
        assert_eq!(table.systems.len(), 2);
    }

    #[test]
    fn errors_name_the_line() {
        for (csv, expected) in [
            (
                "1.0.0.0,1.0.0.9,1,A\nfirst,last,asn,name\n",
                "asn.csv:2: \"first\" is not an IP address",
            ),
            ("16777216,16777471,1,A\n", "asn.csv:1: \"16777216\" is not an IP address"),
            ("1.0.0.9,1.0.0.0,1,A\n", "asn.csv:1: 1.0.0.9 to 1.0.0.0 is not a range"),
            ("1.0.0.0,::9,1,A\n", "asn.csv:1: 1.0.0.0 to ::9 is not a range"),
            ("1.0.0.0,1.0.0.9,AS1,A\n", "asn.csv:1: \"AS1\" is not an ASN"),
            ("1.0.0.0\n", "asn.csv:1: \"\" is not an IP address"),
            ("", "asn.csv: the file has no ranges; expected lines of first,last,asn,name"),
        ] {
            let error = read(csv).err().unwrap();
            assert!(error.contains(expected), "{error}");
        }
    }
}
