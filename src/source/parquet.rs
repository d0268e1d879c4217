//! Reads Parquet files as records of the format `keywatch`. Each row becomes a JSON object whose
//! fields are the columns. One row group is in memory at a time.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use polars::datatypes::ArrowDataType;
use polars::error::PolarsError;
use polars::prelude::{AnyValue, DataFrame, ParquetReader, SerReader, TimeUnit};
use serde_json::{Map, Value};

use super::file::FileProgress;
use crate::event::EventTime;

pub(super) struct ParquetRows {
    file: File,
    /// Columns that hold text, numbers, truth values or times. Columns of other types are ignored.
    columns: Vec<String>,
    /// Rows of each row group that is not read yet.
    groups: std::vec::IntoIter<usize>,
    /// Rows of the groups read so far.
    rows_read: usize,
    total_rows: usize,
    frame: DataFrame,
    next_in_frame: usize,
    number: i64,
    progress: Arc<FileProgress>,
}

impl ParquetRows {
    /// # Errors
    /// Fails for an unreadable file, or one that is not a Parquet file.
    pub fn open(path: &Path, progress: &Arc<FileProgress>) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut reader = ParquetReader::new(file.try_clone()?);
        let metadata = reader.get_metadata().map_err(unreadable)?;
        let groups: Vec<usize> = metadata.row_groups.iter().map(|group| group.num_rows()).collect();
        let schema = reader.schema().map_err(unreadable)?;
        let usable = schema.iter().filter(|(_, field)| is_usable(&field.dtype));
        let columns: Vec<String> = usable.map(|(name, _)| name.to_string()).collect();
        if columns.is_empty() {
            let reason = "does not have a column of text, numbers or times";
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        Ok(Self {
            file,
            columns,
            total_rows: groups.iter().sum(),
            groups: groups.into_iter(),
            rows_read: 0,
            frame: DataFrame::empty(),
            next_in_frame: 0,
            number: 0,
            progress: Arc::clone(progress),
        })
    }

    /// Returns the number of the row last read, 0 before the first.
    pub fn number(&self) -> i64 {
        self.number
    }

    /// Writes the next row into `record` and returns its number, from 1; `None` at the end.
    pub fn next_row(&mut self, record: &mut Vec<u8>) -> io::Result<Option<i64>> {
        while self.next_in_frame >= self.frame.height() {
            let Some(rows) = self.groups.next() else { return Ok(None) };
            self.read_group(rows)?;
        }
        let mut fields = Map::new();
        for column in self.frame.columns() {
            if let Some(value) = json(column.get(self.next_in_frame).map_err(unreadable)?) {
                fields.insert(column.name().to_string(), value);
            }
        }
        record.clear();
        serde_json::to_writer(&mut *record, &fields)?;
        self.next_in_frame += 1;
        self.number += 1;
        Ok(Some(self.number))
    }

    fn read_group(&mut self, rows: usize) -> io::Result<()> {
        // The previous group is freed first.
        self.frame = DataFrame::empty();
        self.next_in_frame = 0;
        self.frame = ParquetReader::new(self.file.try_clone()?)
            .with_slice(Some((self.rows_read, rows)))
            .with_columns(Some(self.columns.clone()))
            .finish()
            .map_err(unreadable)?;
        let size = self.file.metadata()?.len();
        let bytes_until = |row: usize| size * row as u64 / (self.total_rows as u64).max(1);
        let bytes = bytes_until(self.rows_read + rows) - bytes_until(self.rows_read);
        self.progress.read.fetch_add(bytes, Ordering::Relaxed);
        self.rows_read += rows;
        Ok(())
    }
}

fn unreadable(error: PolarsError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the Parquet file cannot be read: {error}"))
}

fn is_usable(dtype: &ArrowDataType) -> bool {
    use ArrowDataType as D;
    match dtype {
        D::Boolean | D::Timestamp(_, _) | D::Float32 | D::Float64 => true,
        D::Int8 | D::Int16 | D::Int32 | D::Int64 => true,
        D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64 => true,
        D::Utf8 | D::LargeUtf8 | D::Utf8View => true,
        D::Dictionary(_, values, _) => is_usable(values),
        _ => false,
    }
}

/// Returns `None` for a null: the field is left out, as loggers do.
fn json(value: AnyValue<'_>) -> Option<Value> {
    if let Some(text) = value.get_str() {
        return Some(text.into());
    }
    match value {
        AnyValue::Boolean(value) => Some(value.into()),
        AnyValue::Int8(number) => Some(number.into()),
        AnyValue::Int16(number) => Some(number.into()),
        AnyValue::Int32(number) => Some(number.into()),
        AnyValue::Int64(number) => Some(number.into()),
        AnyValue::UInt8(number) => Some(number.into()),
        AnyValue::UInt16(number) => Some(number.into()),
        AnyValue::UInt32(number) => Some(number.into()),
        AnyValue::UInt64(number) => Some(number.into()),
        AnyValue::Float32(number) => Some(f64::from(number).into()),
        AnyValue::Float64(number) => Some(number.into()),
        AnyValue::Datetime(number, unit, _) => Some(time(number, unit)),
        AnyValue::DatetimeOwned(number, unit, _) => Some(time(number, unit)),
        _ => None,
    }
}

/// Formats a time as text, because the unit of a bare number would have to be guessed. A time
/// without a time zone is taken as UTC, as writers of logs mean it.
fn time(number: i64, unit: TimeUnit) -> Value {
    let micros = match unit {
        TimeUnit::Milliseconds => number.saturating_mul(1_000),
        TimeUnit::Microseconds => number,
        TimeUnit::Nanoseconds => number.div_euclid(1_000),
    };
    EventTime::from_micros(micros).to_string().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::PathBuf;
    use std::time::Duration;

    use polars::prelude::{Column, DataType, IntoColumn, NamedFrom, ParquetWriter, Series};

    use super::super::FileReader;
    use super::*;
    use crate::config::DecodeConfig;
    use crate::decode::Decoder;
    use crate::record::BatchLimits;

    const ROWS: i64 = 10;
    /// 2026-01-01.
    const START: i64 = 1_767_225_600;

    fn limits() -> BatchLimits {
        BatchLimits { records: 4, bytes: 1 << 20, interval: Duration::from_millis(200) }
    }

    fn strings(name: &str, text: impl Fn(i64) -> String) -> Column {
        let values: Vec<String> = (0..ROWS).map(text).collect();
        Series::new(name.into(), values).into_column()
    }

    fn numbers(name: &str, number: impl Fn(i64) -> i64) -> Column {
        let values: Vec<i64> = (0..ROWS).map(number).collect();
        Series::new(name.into(), values).into_column()
    }

    /// Ten requests in row groups of three, with this column of times.
    fn write(path: &Path, time: Column) {
        let columns = vec![
            time,
            strings("key_id", |n| format!("k{n}")),
            strings("client_ip", |_| "203.0.113.7".to_owned()),
            strings("method", |_| "GET".to_owned()),
            strings("path", |_| "/v1/a".to_owned()),
            numbers("status", |_| 200).cast(&DataType::UInt16).unwrap(),
            Series::new(
                "nonce".into(),
                vec![None, Some(u64::MAX), None, None, None, None, None, None, None, None],
            )
            .into_column(),
            Series::new("tags".into(), vec![Series::new("".into(), [1i64, 2]); ROWS as usize])
                .into_column(),
        ];
        let mut frame = DataFrame::new(ROWS as usize, columns).unwrap();
        let file = File::create(path).unwrap();
        ParquetWriter::new(file).with_row_group_size(Some(3)).finish(&mut frame).unwrap();
    }

    fn file(directory: &tempfile::TempDir, time: Column) -> PathBuf {
        let path = directory.path().join("log.parquet");
        write(&path, time);
        path
    }

    #[test]
    fn rows_become_events_whatever_the_type_of_their_times() {
        let directory = tempfile::tempdir().unwrap();
        let seconds = |n: i64| START + n;
        let millis = numbers("time", |n| seconds(n) * 1_000);
        let timestamp = |unit, factor: i64| {
            numbers("time", |n| seconds(n) * factor).cast(&DataType::Datetime(unit, None)).unwrap()
        };
        for time in [
            strings("time", |n| EventTime::from_seconds(seconds(n)).to_string()),
            numbers("time", seconds),
            millis,
            timestamp(TimeUnit::Milliseconds, 1_000),
            timestamp(TimeUnit::Microseconds, 1_000_000),
            timestamp(TimeUnit::Nanoseconds, 1_000_000_000),
        ] {
            let path = file(&directory, time);
            let reader = FileReader::open(vec![path.clone()], limits()).unwrap();
            let progress = reader.progress();
            let decoder = Decoder::new(&DecodeConfig::default()).unwrap();
            let mut events = Vec::new();
            for batch in reader {
                let batch = batch.unwrap();
                assert!(batch.len() <= 4);
                let decoded = decoder.decode(&batch, EventTime::from_seconds(START + 3_600));
                assert!(decoded.rejections.is_empty(), "{:?}", decoded.rejections);
                events.extend(decoded.events);
            }
            assert_eq!(progress.read_bytes(), progress.total_bytes());
            let seen: Vec<_> = events
                .iter()
                .map(|(position, event)| (position.offset, event.time, event.key_id.to_string()))
                .collect();
            let expected: Vec<_> = (0..ROWS)
                .map(|n| (n + 1, EventTime::from_seconds(seconds(n)), format!("k{n}")))
                .collect();
            assert_eq!(seen, expected);
            assert_eq!(events[1].1.nonce.unwrap().number, Some(u64::MAX));
            assert_eq!((events[0].1.nonce, events[0].1.status), (None, 200));
        }
    }

    #[test]
    fn a_file_that_is_not_parquet_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.parquet");
        std::fs::write(&path, "{\"plain\": 1}\n").unwrap();
        let mut reader = FileReader::open(vec![path], limits()).unwrap();
        let message = reader.next().unwrap().unwrap_err().to_string();
        assert!(message.contains("log.parquet: the Parquet file cannot be read"), "{message}");
        assert!(reader.next().is_none());
    }
}
