//! Reads the beginning of each file or the end of a topic, and decodes it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::DoctorError;
use super::partitions::RecordKeys;
use super::tally::Tally;
use crate::config::{DecodeConfig, KafkaConfig, Secret};
use crate::decode::{DecodeError, DecodedBatch, Decoder, MIN_PEPPER_BYTES};
use crate::event::EventTime;
use crate::record::{BatchLimits, RawBatch};
use crate::source::{FileReader, sample_topic};

/// What is read of all files together.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    pub records: usize,
    /// Bytes of the records, decompressed.
    pub bytes: usize,
}

impl Extent {
    /// For an examination.
    pub const SAMPLE: Self = Self { records: 300_000, bytes: 128 << 20 };
    /// For a few lines before a longer task.
    pub const GLANCE: Self = Self { records: 10_000, bytes: 16 << 20 };
}

/// The least that is read of each file.
const LEAST_RECORDS: usize = 1_000;
const LEAST_BYTES: usize = 1 << 20;
/// More files are not opened.
const MAX_FILES: usize = 200;
/// Records that are decoded at once. The first of them tell the format.
const BATCH_RECORDS: usize = 10_000;

/// Raw keys are only counted here, so any pepper will do where none is configured.
const PEPPER: &str = "keywatch doctor stores nothing";

/// No time is refused.
pub(super) const NEVER: EventTime = EventTime::from_micros(i64::MAX);

/// What was read.
#[derive(Debug, Default, Serialize)]
pub struct Sampled {
    pub files: usize,
    /// Files that were not opened.
    pub files_left_out: usize,
    pub records: u64,
    /// Bytes of the records.
    pub bytes: u64,
    /// Bytes on the disk, of all files that were opened.
    pub total_bytes: u64,
    /// The topic, for a sample of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<TopicSampled>,
    /// Every record was read.
    pub is_whole: bool,
    /// What is wrong with the files themselves.
    pub warnings: Vec<String>,
}

/// A topic whose latest records were read.
#[derive(Debug, Serialize)]
pub struct TopicSampled {
    pub name: String,
    pub partitions: usize,
    /// Records without a Kafka key.
    pub unkeyed: u64,
    /// Records without a payload, which are no requests.
    pub tombstones: u64,
}

/// The decoders of a sample.
pub(super) struct Decoders {
    config: DecodeConfig,
    /// `None`: the format is chosen by content.
    named: Option<Decoder>,
    pub by_content: Decoder,
}

impl Decoders {
    pub fn new(config: &DecodeConfig) -> Result<Self, DoctorError> {
        let mut config = config.clone();
        if config.pepper.reveal().len() < MIN_PEPPER_BYTES {
            config.pepper = Secret::new(PEPPER);
        }
        let configured = Decoder::new(&config)?;
        let by_content = DecodeConfig { format: "auto".into(), ..config.clone() };
        Ok(Self {
            config,
            named: configured.format().map(|_| configured),
            by_content: Decoder::new(&by_content)?,
        })
    }

    /// A decoder that believes every proxy, for logs of one format.
    pub fn believing(&self, format: &str) -> Result<Decoder, DecodeError> {
        // All addresses, in halves: a network of all is refused.
        let everybody = ["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"];
        Decoder::new(&DecodeConfig {
            format: format.into(),
            trusted_proxies: everybody.map(str::to_owned).into(),
            ..self.config.clone()
        })
    }

    fn decode(&self, batch: &RawBatch) -> DecodedBatch {
        self.named.as_ref().unwrap_or(&self.by_content).decode(batch, NEVER)
    }
}

/// Reads the files and adds them to the tallies of their formats.
pub(super) fn read(
    inputs: &[PathBuf],
    extent: Extent,
    decoders: &Decoders,
    tallies: &mut Vec<Tally>,
) -> Result<Sampled, DoctorError> {
    let files = &inputs[..inputs.len().min(MAX_FILES)];
    let share = |total: usize, least: usize| (total / files.len().max(1)).max(least);
    let limits = Extent {
        records: share(extent.records, LEAST_RECORDS),
        bytes: share(extent.bytes, LEAST_BYTES),
    };
    let mut sampled = Sampled {
        files: files.len(),
        files_left_out: inputs.len() - files.len(),
        is_whole: inputs.len() == files.len(),
        ..Sampled::default()
    };
    for file in files {
        read_file(file, decoders, &limits, &mut sampled, tallies)?;
    }
    Ok(sampled)
}

/// Reads the latest records of a topic and adds them to the tallies of their formats.
pub(super) fn read_topic(
    topic: &str,
    extent: Extent,
    config: &KafkaConfig,
    decoders: &Decoders,
    tallies: &mut Vec<Tally>,
) -> Result<Sampled, DoctorError> {
    let sample = sample_topic(config, topic, extent.records, extent.bytes)?;
    let sampled = add(&sample.batches, decoders, tallies);
    let (partitions, unkeyed, tombstones) = (sample.partitions, sample.unkeyed, sample.tombstones);
    for tally in tallies {
        tally.record_keys = RecordKeys { partitions, unkeyed, tombstones };
    }
    let name = topic.to_owned();
    let topic = Some(TopicSampled { name, partitions, unkeyed, tombstones });
    Ok(Sampled { topic, is_whole: sample.is_whole, ..sampled })
}

/// Adds batches to the tallies of their formats.
pub(super) fn add(batches: &[RawBatch], decoders: &Decoders, tallies: &mut Vec<Tally>) -> Sampled {
    let mut sampled = Sampled::default();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for batch in batches {
        sampled.count(batch);
        let decoded = decoders.decode(batch);
        let place = places.entry(&batch.partition.topic);
        let at = *place.or_insert_with(|| begin(batch, decoders, tallies));
        tallies[at].add(batch, decoded, decoders);
    }
    sampled
}

impl Sampled {
    fn count(&mut self, batch: &RawBatch) {
        self.records += batch.len() as u64;
        self.bytes += batch.size_bytes() as u64;
    }
}

fn read_file(
    file: &Path,
    decoders: &Decoders,
    limits: &Extent,
    sampled: &mut Sampled,
    tallies: &mut Vec<Tally>,
) -> Result<(), DoctorError> {
    let batch_limits = BatchLimits {
        records: BATCH_RECORDS.min(limits.records),
        bytes: limits.bytes,
        interval: Duration::MAX,
    };
    let mut reader = FileReader::open(vec![file.to_path_buf()], batch_limits)?;
    let progress = reader.progress();
    sampled.total_bytes += progress.total_bytes();
    let (mut records, mut bytes) = (0, 0);
    let mut at = None;
    while records < limits.records && bytes < limits.bytes {
        let Some(batch) = reader.next().transpose()? else {
            sampled.warnings.extend(progress.warnings());
            return Ok(());
        };
        records += batch.len();
        bytes += batch.size_bytes();
        sampled.count(&batch);
        let decoded = decoders.decode(&batch);
        let at = *at.get_or_insert_with(|| begin(&batch, decoders, tallies));
        tallies[at].add(&batch, decoded, decoders);
    }
    sampled.is_whole &= reader.next().transpose()?.is_none();
    Ok(())
}

/// Returns the place of the tally for the file's format. The batch was decoded before.
fn begin(batch: &RawBatch, decoders: &Decoders, tallies: &mut Vec<Tally>) -> usize {
    let named = decoders.named.as_ref().and_then(Decoder::format);
    if named.is_some() {
        drop(decoders.by_content.decode(&beginning(batch), NEVER));
    }
    let choices = decoders.by_content.choices();
    let choice = choices.into_iter().rev().find(|it| it.topic == batch.partition.topic);
    let format = named.or(choice.as_ref().map(|it| it.format)).unwrap_or_default();
    let at = tallies.iter().position(|tally| tally.format() == format).unwrap_or_else(|| {
        tallies.push(Tally::new(format));
        tallies.len() - 1
    });
    tallies[at].note_choice(choice, named.is_some());
    at
}

fn beginning(batch: &RawBatch) -> RawBatch {
    const RECORDS: usize = 200;
    let mut beginning = batch.emptied();
    batch.records().take(RECORDS).for_each(|(offset, record)| beginning.push(offset, record));
    beginning
}
