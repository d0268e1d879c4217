//! Reads log files. `.parquet` files are read by rows, and all others by lines; their first bytes
//! tell whether they are compressed.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tracing::warn;

use super::compression::{self, Opened};
#[cfg(feature = "train")]
use super::parquet::ParquetRows;
use super::records::RecordReader;
use super::{Source, SourceError, count_batch};
use crate::event::PartitionId;
use crate::record::{BatchLimits, RawBatch};

/// Counts how far the files are read, in (compressed) bytes on the disk.
#[derive(Debug, Default)]
pub struct FileProgress {
    total: u64,
    pub(super) read: AtomicU64,
    warnings: Mutex<Vec<String>>,
}

impl FileProgress {
    /// Returns the size of all files together.
    pub fn total_bytes(&self) -> u64 {
        self.total
    }

    pub fn read_bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// What was wrong with files that were read to their end all the same.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().clone()
    }
}

/// Reads files one after the other. Each is a partition of its own: the topic is
/// the path as given, the offset is the number of the line or row.
pub struct FileReader {
    paths: std::vec::IntoIter<PathBuf>,
    current: Option<OpenFile>,
    limits: BatchLimits,
    progress: Arc<FileProgress>,
    /// An error that is returned after the records before it.
    failure: Option<SourceError>,
}

impl FileReader {
    /// # Errors
    /// Fails when a file is absent, not readable or a directory. All files are checked before the
    /// first is read.
    pub fn open(paths: Vec<PathBuf>, limits: BatchLimits) -> Result<Self, SourceError> {
        let mut total = 0;
        for path in &paths {
            total += size_of_file(path).map_err(|reason| file_error(path, reason))?;
        }
        Ok(Self {
            paths: paths.into_iter(),
            current: None,
            limits,
            progress: Arc::new(FileProgress { total, ..FileProgress::default() }),
            failure: None,
        })
    }

    /// Returns the progress, which is updated while the reader is used elsewhere.
    pub fn progress(&self) -> Arc<FileProgress> {
        Arc::clone(&self.progress)
    }

    fn fail(&mut self, error: SourceError) -> Option<Result<RawBatch, SourceError>> {
        self.current = None;
        self.paths = Vec::new().into_iter();
        Some(Err(error))
    }
}

impl Iterator for FileReader {
    type Item = Result<RawBatch, SourceError>;

    /// Ends after the first error.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(error) = self.failure.take() {
                return self.fail(error);
            }
            let file = match &mut self.current {
                Some(file) => file,
                None => {
                    let path = self.paths.next()?;
                    match OpenFile::open(&path, &self.progress) {
                        Ok(file) => self.current.insert(file),
                        Err(reason) => return self.fail(file_error(&path, reason)),
                    }
                }
            };
            let mut batch = RawBatch::new(file.partition.clone());
            match file.read_into(&mut batch, &self.limits) {
                Ok(ReadState::Full) => {}
                Ok(ReadState::Ended) => {
                    if file.has_garbage() {
                        let warning = file.garbage();
                        warn!("{warning}");
                        self.progress.warnings.lock().push(warning);
                    }
                    self.current = None;
                }
                Err(error) => self.failure = Some(error),
            }
            if !batch.is_empty() {
                count_batch(&batch);
                return Some(Ok(batch));
            }
        }
    }
}

enum ReadState {
    Full,
    Ended,
}

/// The form in which a file holds its records.
enum Records {
    Lines(RecordReader<Box<dyn BufRead + Send>>),
    #[cfg(feature = "train")]
    Parquet(Box<ParquetRows>),
}

impl Records {
    /// Reads the next record and returns its number; `None` at the end of the file.
    fn next(&mut self, record: &mut Vec<u8>) -> io::Result<Option<i64>> {
        match self {
            Self::Lines(lines) => lines.next_record(record),
            #[cfg(feature = "train")]
            Self::Parquet(rows) => rows.next_row(record),
        }
    }

    /// Returns the number of the record last read, 0 before the first.
    fn number(&self) -> i64 {
        match self {
            Self::Lines(lines) => lines.number(),
            #[cfg(feature = "train")]
            Self::Parquet(rows) => rows.number(),
        }
    }
}

#[cfg(feature = "train")]
fn parquet(path: &Path, progress: &Arc<FileProgress>) -> io::Result<Records> {
    Ok(Records::Parquet(Box::new(ParquetRows::open(path, progress)?)))
}

#[cfg(not(feature = "train"))]
fn parquet(_: &Path, _: &Arc<FileProgress>) -> io::Result<Records> {
    Err(no_parquet())
}

fn no_parquet() -> io::Error {
    let reason = "this build cannot read Parquet: build it with the feature `train` (cargo's \
                  default, `make build`), or convert the file to JSON lines";
    io::Error::new(io::ErrorKind::Unsupported, reason)
}

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"))
}

struct OpenFile {
    partition: PartitionId,
    compression: Option<&'static str>,
    /// Bytes that are not gzip follow the last member.
    has_garbage: Arc<AtomicBool>,
    records: Records,
    record: Vec<u8>,
}

impl OpenFile {
    fn open(path: &Path, progress: &Arc<FileProgress>) -> io::Result<Self> {
        let topic = path.to_string_lossy().into();
        let partition = PartitionId { topic, partition: 0 };
        let record = Vec::new();
        if is_parquet(path) {
            let records = parquet(path, progress)?;
            let has_garbage = Arc::default();
            return Ok(Self { partition, compression: None, has_garbage, records, record });
        }
        let file = CountingReader { file: File::open(path)?, progress: Arc::clone(progress) };
        let Opened { name, input, has_garbage } = compression::open(file)?;
        let records = Records::Lines(RecordReader::new(input));
        Ok(Self { partition, compression: name, has_garbage, records, record })
    }

    fn has_garbage(&self) -> bool {
        self.has_garbage.load(Ordering::Relaxed)
    }

    fn garbage(&self) -> String {
        let path = &self.partition.topic;
        format!("{path}: what follows the last gzip member is not gzip, and was left out")
    }

    fn read_into(
        &mut self,
        batch: &mut RawBatch,
        limits: &BatchLimits,
    ) -> Result<ReadState, SourceError> {
        while !limits.are_reached_by(batch) {
            match self.records.next(&mut self.record) {
                Ok(Some(number)) => batch.push(number, &self.record),
                Ok(None) => return Ok(ReadState::Ended),
                Err(reason) => return Err(self.content_error(reason)),
            }
        }
        Ok(ReadState::Full)
    }

    fn content_error(&self, reason: io::Error) -> SourceError {
        let reason = match self.compression {
            Some(format) => {
                let detail = format!("the {format} stream is damaged or cut short: {reason}");
                io::Error::new(reason.kind(), detail)
            }
            None => reason,
        };
        SourceError::FileContent {
            path: self.partition.topic.to_string(),
            line: self.records.number() + 1,
            reason,
        }
    }
}

fn size_of_file(path: &Path) -> io::Result<u64> {
    let metadata = File::open(path)?.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "is a directory; name the files in it",
        ));
    }
    if is_parquet(path) && !cfg!(feature = "train") {
        return Err(no_parquet());
    }
    Ok(metadata.len())
}

fn file_error(path: &Path, reason: io::Error) -> SourceError {
    SourceError::File { path: path.display().to_string(), reason }
}

struct CountingReader {
    file: File,
    progress: Arc<FileProgress>,
}

impl Read for CountingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.progress.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Provides files as a [`Source`]: a thread reads ahead by one batch.
pub struct FileSource {
    batches: mpsc::Receiver<Result<RawBatch, SourceError>>,
}

impl FileSource {
    pub fn new(reader: FileReader) -> Self {
        let (sender, batches) = mpsc::channel(1);
        // A thread and not a task: a pipe that never ends would block the shutdown of the runtime.
        thread::spawn(move || {
            let mut names = StreamNames::default();
            for batch in reader {
                let batch = batch.map(|batch| names.rename(batch));
                if sender.blocking_send(batch).is_err() {
                    break;
                }
            }
        });
        Self { batches }
    }
}

/// Distinguishes a file that is read again, and resumed, from another file of the same name, as
/// after a log rotation. The topic gets a fingerprint of the file's first record.
#[derive(Default)]
struct StreamNames {
    path: Option<Arc<str>>,
    topic: Option<Arc<str>>,
}

impl StreamNames {
    fn rename(&mut self, mut batch: RawBatch) -> RawBatch {
        let path = Arc::clone(&batch.partition.topic);
        let begins = self.path.as_ref() != Some(&path);
        if begins && let Some((_, record)) = batch.records().next() {
            let fingerprint = hex::encode(&Sha256::digest(record)[..6]);
            self.topic = Some(format!("{path}#{fingerprint}").into());
            self.path = Some(path);
        }
        if let Some(topic) = &self.topic {
            batch.partition.topic = Arc::clone(topic);
        }
        batch
    }
}

impl Source for FileSource {
    async fn next(&mut self) -> Result<Option<RawBatch>, SourceError> {
        self.batches.recv().await.transpose()
    }

    /// Does nothing: files are read from their start each time, and the ledger knows which records
    /// are stored.
    async fn commit(&mut self, _: &PartitionId, _: i64) -> Result<(), SourceError> {
        Ok(())
    }

    async fn close(self, _: Duration) -> Result<(), SourceError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn limits(records: usize, bytes: usize) -> BatchLimits {
        BatchLimits { records, bytes, interval: Duration::from_millis(200) }
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn write(directory: &Path, name: &str, content: &[u8]) -> PathBuf {
        let path = directory.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn records(reader: FileReader) -> Vec<(i64, Vec<u8>)> {
        reader
            .flat_map(|batch| {
                let batch = batch.unwrap();
                batch
                    .records()
                    .map(|(offset, payload)| (offset, payload.to_vec()))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    fn read(path: &Path, limits: BatchLimits) -> Vec<(i64, Vec<u8>)> {
        records(FileReader::open(vec![path.to_path_buf()], limits).unwrap())
    }

    #[test]
    fn names_the_file_as_topic_and_cuts_batches() {
        let directory = tempfile::tempdir().unwrap();
        let first = write(directory.path(), "first.jsonl", b"{1}\n{2}\n\n{4}\n");
        let second = write(directory.path(), "second.log", b"{5}");
        let reader = FileReader::open(vec![first.clone(), second], limits(2, 1000)).unwrap();
        let batches: Vec<RawBatch> = reader.map(Result::unwrap).collect();
        let shape: Vec<_> = batches.iter().map(|batch| batch.offsets().unwrap()).collect();
        assert_eq!(shape, [(1, 2), (4, 4), (1, 1)]);
        assert_eq!(&*batches[0].partition.topic, first.to_str().unwrap());
        assert!(batches[2].partition.topic.ends_with("second.log"));
    }

    #[test]
    fn reads_gzip_of_several_members() {
        let directory = tempfile::tempdir().unwrap();
        let members = [gzip(b"{1}\n{2"), gzip(b"}\n{3}\n")].concat();
        let path = write(directory.path(), "log.jsonl.gz", &members);
        let expected = [(1, b"{1}".to_vec()), (2, b"{2}".to_vec()), (3, b"{3}".to_vec())];
        assert_eq!(read(&path, limits(10, 1000)), expected);
    }

    #[test]
    fn progress_reaches_the_compressed_size() {
        let directory = tempfile::tempdir().unwrap();
        let path = write(directory.path(), "log.gz", &gzip(&b"{1}\n".repeat(10_000)));
        let size = path.metadata().unwrap().len();
        let reader = FileReader::open(vec![path], limits(1000, 1 << 20)).unwrap();
        let progress = reader.progress();
        assert_eq!((progress.total_bytes(), progress.read_bytes()), (size, 0));
        assert_eq!(reader.count(), 10);
        assert_eq!(progress.read_bytes(), size);
    }

    #[test]
    fn a_truncated_stream_gives_its_records_and_then_file_and_line() {
        let directory = tempfile::tempdir().unwrap();
        let content: String =
            (0..5_000).map(|n: u32| format!("{}\n", n.wrapping_mul(2_654_435_761))).collect();
        let zstd = zstd::encode_all(content.as_bytes(), 1).unwrap();
        for (name, whole) in [("log.gz", gzip(content.as_bytes())), ("log.zst", zstd)] {
            let path = write(directory.path(), name, &whole[..whole.len() - 3]);
            let mut items: Vec<_> =
                FileReader::open(vec![path.clone(), path.clone()], limits(100, 1 << 20))
                    .unwrap()
                    .collect();
            let error = items.pop().unwrap().unwrap_err().to_string();
            let last = items.last().map_or(0, |item| item.as_ref().unwrap().offsets().unwrap().1);
            assert!(error.starts_with(&format!("{}:{}: ", path.display(), last + 1)), "{error}");
            assert!(error.contains("damaged or cut short"), "{error}");
        }
    }

    #[test]
    fn garbage_after_the_last_gzip_member_is_a_warning() {
        let directory = tempfile::tempdir().unwrap();
        let bytes = [gzip(b"{1}\n{2}\n"), b"garbage".to_vec()].concat();
        let path = write(directory.path(), "log.gz", &bytes);
        let reader = FileReader::open(vec![path.clone()], limits(10, 1000)).unwrap();
        let progress = reader.progress();
        assert_eq!(records(reader), [(1, b"{1}".to_vec()), (2, b"{2}".to_vec())]);
        let [warning] = progress.warnings().try_into().unwrap();
        assert!(warning.starts_with(&format!("{}: ", path.display())), "{warning}");
    }

    #[test]
    fn the_content_tells_the_compression_and_not_the_name() {
        let directory = tempfile::tempdir().unwrap();
        let plain = write(directory.path(), "log.gz", b"{1}\n");
        let packed = write(directory.path(), "log.jsonl", &gzip(b"{1}\n"));
        let expected = [(1, b"{1}".to_vec())];
        assert_eq!(read(&plain, limits(10, 10)), expected);
        assert_eq!(read(&packed, limits(10, 10)), expected);
    }

    #[test]
    fn a_missing_file_or_a_directory_is_named_before_anything_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let good = write(directory.path(), "good.jsonl", b"{1}\n");
        for (bad, words) in [
            (directory.path().join("absent.jsonl"), "No such file"),
            (directory.path().to_path_buf(), "is a directory"),
        ] {
            let error =
                FileReader::open(vec![good.clone(), bad.clone()], limits(10, 10)).err().unwrap();
            let message = error.to_string();
            assert!(
                message.starts_with(bad.to_str().unwrap()) && message.contains(words),
                "{message}"
            );
        }
    }

    #[cfg(not(feature = "train"))]
    #[test]
    fn without_the_feature_parquet_is_refused_by_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = write(directory.path(), "log.Parquet", b"PAR1");
        let error = FileReader::open(vec![path], limits(10, 10)).err().unwrap().to_string();
        assert!(error.contains("log.Parquet: ") && error.contains("feature `train`"), "{error}");
    }

    #[tokio::test]
    async fn the_source_yields_what_the_reader_yields_and_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = write(directory.path(), "log.jsonl", b"{1}\n{2}\n{3}\n");
        let reader = FileReader::open(vec![path], limits(2, 1000)).unwrap();
        let mut source = FileSource::new(reader);
        assert_eq!(source.next().await.unwrap().unwrap().offsets(), Some((1, 2)));
        assert_eq!(source.next().await.unwrap().unwrap().offsets(), Some((3, 3)));
        assert!(source.next().await.unwrap().is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn records_do_not_depend_on_compression_or_batch_limits(
            lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..60),
            records_limit in 1usize..20,
            bytes_limit in 1usize..500,
            split in any::<proptest::sample::Index>(),
        ) {
            let content = lines.join(&b'\n');
            let split = split.index(content.len() + 1);
            let directory = tempfile::tempdir().unwrap();
            let plain = write(directory.path(), "log.jsonl", &content);
            let gz = [gzip(&content[..split]), gzip(&content[split..])].concat();
            let gz = write(directory.path(), "log.jsonl.gz", &gz);
            let zst = zstd::encode_all(content.as_slice(), 1).unwrap();
            let zst = write(directory.path(), "log.jsonl.zst", &zst);
            let expected = read(&plain, limits(usize::MAX, usize::MAX));
            let limits = limits(records_limit, bytes_limit);
            prop_assert_eq!(&read(&plain, limits), &expected);
            prop_assert_eq!(&read(&gz, limits), &expected);
            prop_assert_eq!(&read(&zst, limits), &expected);
        }
    }
}
