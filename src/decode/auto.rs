//! Chooses the format of a log by its first records.

use std::sync::Arc;

use parking_lot::Mutex;

use super::format::Format;
use super::raw_event::RawEvent;
use super::requests::{Request, each_request};
use super::{Decoder, address, text, time};
use crate::event::PartitionId;
use crate::record::RawBatch;

/// Records of a log that are tried.
const SAMPLE: usize = 200;

/// The fields that an event cannot be without.
const REQUIRED: [&str; 6] = ["time", "a key", "client_ip", "method", "path", "status"];

/// The format that was chosen for a log, and the reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    pub topic: Arc<str>,
    pub format: &'static str,
    /// The share of required fields that the format found, over the records that were tried.
    pub found: f64,
    /// The format that came next, and its share.
    pub next: Option<(&'static str, f64)>,
    /// Required fields that the format did not find in any record.
    pub missing: Vec<&'static str>,
    /// The number of records that were tried.
    pub records: usize,
    index: usize,
    partition: i32,
}

impl Choice {
    /// One sentence for the operator.
    pub fn sentence(&self) -> String {
        let share = |found: f64| format!("{:.0} %", 100.0 * found);
        let mut text = format!(
            "{}: format {}, which finds {} of the required fields in the first {} records",
            self.topic,
            self.format,
            share(self.found),
            self.records
        );
        if let Some((next, found)) = self.next.filter(|(_, found)| *found > 0.0) {
            text += &format!(" (next: {next}, {})", share(found));
        }
        if !self.missing.is_empty() {
            text += &format!("; it never finds {}", self.missing.join(", "));
        }
        text
    }
}

/// The choices so far.
#[derive(Default)]
pub(super) struct Chosen(Mutex<Vec<Choice>>);

impl Chosen {
    pub fn all(&self) -> Vec<Choice> {
        self.0.lock().clone()
    }

    fn get(&self, partition: &PartitionId) -> Option<usize> {
        let is_of = |choice: &&Choice| {
            choice.partition == partition.partition && choice.topic == partition.topic
        };
        self.0.lock().iter().rev().find(is_of).map(|choice| choice.index)
    }
}

impl Decoder {
    /// The index of the format in which the records of a batch are read.
    pub(super) fn choose(&self, batch: &RawBatch) -> usize {
        if self.formats.len() == 1 {
            return 0;
        }
        if let Some(index) = self.chosen.get(&batch.partition) {
            return index;
        }
        let sample: Vec<_> = batch
            .records()
            .take(SAMPLE)
            .filter_map(|(_, payload)| self.text(payload, &self.formats[0]).ok())
            .collect();
        let scores = self.formats.iter().map(|format| {
            sample.iter().fold(Score::default(), |score, text| score.with(format, &text.text))
        });
        let mut ranked: Vec<(usize, Score)> = scores.enumerate().collect();
        // Stable: of equal ones the first counts.
        ranked.sort_by(|(_, a), (_, b)| b.share().total_cmp(&a.share()));
        let (index, best) = &ranked[0];
        self.chosen.0.lock().push(Choice {
            topic: Arc::clone(&batch.partition.topic),
            partition: batch.partition.partition,
            format: self.formats[*index].name,
            found: best.share(),
            next: ranked.get(1).map(|(index, next)| (self.formats[*index].name, next.share())),
            missing: best.missing(),
            records: sample.len(),
            index: *index,
        });
        *index
    }
}

/// Returns the format that finds all required fields of a record, if the log's own format finds
/// so few that the record must have another one.
pub(super) fn better<'f>(formats: &'f [Format], own: &Format, text: &str) -> Option<&'f Format> {
    const FEW: f64 = 0.6;
    let share = |format: &Format| Score::default().with(format, text).share();
    if share(own) > FEW {
        return None;
    }
    formats.iter().find(|format| share(format) == 1.0)
}

/// How many requests have each of the required fields.
#[derive(Debug, Default)]
struct Score {
    requests: u64,
    found: [u64; REQUIRED.len()],
}

impl Score {
    fn with(mut self, format: &Format, text: &str) -> Self {
        each_request(format, text, false, &mut |_, _, request| {
            let found = match request {
                Request::Event(event) => found(event),
                Request::Skipped { is_certain: true } => return,
                Request::Skipped { .. } | Request::Refused(..) => [false; REQUIRED.len()],
            };
            self.requests += 1;
            for (count, found) in self.found.iter_mut().zip(found) {
                *count += u64::from(found);
            }
        });
        self
    }

    fn share(&self) -> f64 {
        let possible = self.requests * REQUIRED.len() as u64;
        self.found.iter().sum::<u64>() as f64 / possible.max(1) as f64
    }

    fn missing(&self) -> Vec<&'static str> {
        let fields = REQUIRED.into_iter().zip(self.found);
        fields.filter(|(_, found)| *found == 0).map(|(name, _)| name).collect()
    }
}

/// Without a time, the other fields were found by chance: some formats have constants.
fn found(event: &RawEvent<'_>) -> [bool; REQUIRED.len()] {
    if time::parse(&event.time).is_none() {
        return [false; REQUIRED.len()];
    }
    [
        true,
        !event.key_id.is_absent() || !event.api_key.is_absent(),
        event.client_ip.text().is_some_and(|ip| address::parse(&ip).is_some()),
        event.method.text().is_some(),
        event.path.text().is_some(),
        text::status(&event.status).is_some(),
    ]
}
