//! Writes rows as one block in ClickHouse's format Native: column by column, and compressed on the
//! way, so that a large batch is held in its compressed size.
//!
//! The server reads columns several times faster than rows, and one block is what it stores or
//! refuses as a whole. A column may be sent as String where the table has LowCardinality: each
//! column carries its type, and the server converts.

use clickhouse::Compression;
use clickhouse::error::Result;
use clickhouse::insert_formatted::CompressedData;

/// Bytes of a column that are compressed together: enough to find repetitions, and little to hold
/// for each column of each batch under way.
const FRAME_BYTES: usize = 64 << 10;

/// A column of rows `R`: its name, the type of the values that `write` adds, and how it adds one.
pub(super) struct Column<R> {
    pub(super) name: &'static str,
    kind: &'static str,
    write: fn(&R, &mut Values),
}

impl<R> Column<R> {
    pub(super) const fn new(
        name: &'static str,
        kind: &'static str,
        write: fn(&R, &mut Values),
    ) -> Self {
        Self { name, kind, write }
    }
}

/// The values of one column so far.
pub(super) struct Values {
    /// The column's name and type. A Nullable column has a byte for each row behind them.
    head: Stream,
    values: Stream,
}

impl Values {
    fn new(name: &str, kind: &str) -> Self {
        let mut head = Stream::default();
        head.text(name);
        head.text(kind);
        Self { head, values: Stream::default() }
    }

    pub(super) fn text(&mut self, text: &str) {
        self.values.text(text);
    }

    /// Adds a value of a type whose values all have this size. Numbers are little endian.
    pub(super) fn fixed<const SIZE: usize>(&mut self, value: [u8; SIZE]) {
        self.values.bytes.extend_from_slice(&value);
    }

    /// Adds a value of a Nullable column, in which a null takes room too.
    pub(super) fn nullable<const SIZE: usize>(&mut self, value: Option<[u8; SIZE]>) {
        self.head.bytes.push(u8::from(value.is_none()));
        self.fixed(value.unwrap_or([0; SIZE]));
    }

    fn compress_full(&mut self) -> Result<()> {
        self.head.compress_full()?;
        self.values.compress_full()
    }
}

/// Bytes that follow each other in the block. Their compressed frames come before the rest.
#[derive(Default)]
struct Stream {
    frames: Vec<CompressedData>,
    bytes: Vec<u8>,
}

impl Stream {
    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Adds a number of variable length: seven bits a byte, the lowest first, and the highest bit
    /// where more follow.
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    fn compress_full(&mut self) -> Result<()> {
        if self.bytes.len() < FRAME_BYTES { Ok(()) } else { self.compress() }
    }

    fn compress(&mut self) -> Result<()> {
        if !self.bytes.is_empty() {
            self.frames.push(CompressedData::new(&self.bytes, Compression::Lz4)?);
            self.bytes.clear();
        }
        Ok(())
    }

    /// Appends `other`. The rests of both are compressed together when no frame is in between.
    fn append(&mut self, other: Self) -> Result<()> {
        if !other.frames.is_empty() {
            self.compress()?;
            self.frames.extend(other.frames);
        }
        self.bytes.extend_from_slice(&other.bytes);
        self.compress_full()
    }
}

/// A block in the making.
pub(super) struct Block<R> {
    columns: Vec<(Column<R>, Values)>,
    rows: u64,
}

impl<R> Block<R> {
    pub(super) fn new(columns: Vec<Column<R>>) -> Self {
        let with_values = |column: Column<R>| {
            let values = Values::new(column.name, column.kind);
            (column, values)
        };
        Self { columns: columns.into_iter().map(with_values).collect(), rows: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The statement that takes the block.
    pub(super) fn insert_into(&self, table: &str) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(column, _)| column.name).collect();
        format!("INSERT INTO {table} ({}) FORMAT Native", names.join(", "))
    }

    /// # Errors
    /// Fails when values cannot be compressed.
    pub(super) fn push(&mut self, row: &R) -> Result<()> {
        self.rows += 1;
        self.columns.iter_mut().try_for_each(|(column, values)| {
            (column.write)(row, values);
            values.compress_full()
        })
    }

    /// Returns the compressed block in parts: the numbers of columns and rows, and at least one
    /// more. Without the last part, the block is incomplete for the server.
    ///
    /// # Errors
    /// Fails when values cannot be compressed.
    pub(super) fn finish(self) -> Result<Vec<CompressedData>> {
        let mut block = Stream::default();
        block.number(self.columns.len() as u64);
        block.number(self.rows);
        block.compress()?;
        for (_, Values { head, values }) in self.columns {
            block.append(head)?;
            block.append(values)?;
        }
        block.compress()?;
        Ok(block.frames)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn lengths_take_seven_bits_a_byte() {
        let bytes = |number| {
            let mut stream = Stream::default();
            stream.number(number);
            stream.bytes
        };
        assert_eq!(bytes(0), [0]);
        assert_eq!(bytes(127), [127]);
        assert_eq!(bytes(128), [128, 1]);
        assert_eq!(bytes(300), [172, 2]);
        assert_eq!(bytes(u64::MAX).len(), 10);
    }

    #[test]
    fn a_small_block_has_its_numbers_and_one_more_part() {
        let columns = vec![Column::new("n", "UInt8", |row: &u8, to| to.fixed([*row]))];
        let mut block = Block::new(columns);
        assert!(block.is_empty());
        block.push(&7).unwrap();
        assert_eq!(block.insert_into("t"), "INSERT INTO t (n) FORMAT Native");
        assert_eq!(block.finish().unwrap().len(), 2);
    }

    #[test]
    fn a_large_column_is_compressed_on_the_way() {
        let columns = vec![Column::new("t", "String", |row: &&str, to| to.text(row))];
        let mut block = Block::new(columns);
        let text = "x".repeat(1_000);
        for _ in 0..1_000 {
            block.push(&&*text).unwrap();
            assert!(block.columns[0].1.values.bytes.len() < FRAME_BYTES);
        }
        assert!(block.finish().unwrap().len() > 10);
    }
}
