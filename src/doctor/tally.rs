//! Counts what a sample of one format holds.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use compact_str::CompactString;
use serde::Serialize;

use super::Log;
use super::addresses::Addresses;
use super::clocks::Clocks;
use super::fields::Fields;
use super::finding::{Settings, findings};
use super::partitions::{Keys, RecordKeys};
use super::sample::{Decoders, NEVER};
use super::sampling::{self, SampleRate};
use crate::decode::{Choice, DecodedBatch, LeftOut, RejectReason, Rejection};
use crate::event::{AccessEvent, EventTime};
use crate::record::RawBatch;

/// The first and the last event time of a sample.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Span {
    pub first: EventTime,
    pub last: EventTime,
}

/// Rejections of one reason.
#[derive(Clone, Debug, Serialize)]
pub struct RejectionKind {
    pub reason: &'static str,
    pub number: u64,
    /// The place of the first one: the file and its line.
    pub place: String,
    pub detail: String,
    /// The beginning of the record, with everything masked that could be a secret.
    pub masked_payload: String,
}

/// The counts of all files of one format.
#[derive(Debug, Default)]
pub(super) struct Tally {
    format: &'static str,
    reasons: Vec<String>,
    /// The format that the records look like, where another one is configured.
    pub looks_like: Option<Choice>,
    pub records: u64,
    pub events: u64,
    pub skipped: u64,
    /// Events with a status of 401 or 403.
    pub refused: u64,
    /// Events whose log held the raw key.
    pub raw_keys: u64,
    pub keys: Keys,
    pub record_keys: RecordKeys,
    rejections: Vec<(RejectReason, RejectionKind)>,
    pub left_out: LeftOut,
    pub fields: Fields,
    pub addresses: Addresses,
    pub clocks: Clocks,
    pub repetitions: Repetitions,
    pub sample_rate: Option<SampleRate>,
    /// The times of all events.
    pub times: Vec<EventTime>,
}

/// Request ids that occur again.
#[derive(Debug, Default)]
pub(super) struct Repetitions {
    known: HashMap<CompactString, u64>,
    /// Events that are in the sample twice.
    pub same: u64,
    /// Events with the id of another request.
    pub other: u64,
}

impl Tally {
    pub fn new(format: &'static str) -> Self {
        Self { format, ..Self::default() }
    }

    pub fn format(&self) -> &'static str {
        self.format
    }

    /// The number of records and parts of records that are no events.
    pub fn rejected(&self) -> u64 {
        self.rejections.iter().map(|(_, kind)| kind.number).sum()
    }

    pub fn rejected_for(&self, reason: RejectReason) -> Option<&RejectionKind> {
        self.rejections.iter().find(|(known, _)| *known == reason).map(|(_, kind)| kind)
    }

    pub fn most_frequent_rejection(&self) -> Option<&RejectionKind> {
        self.rejections.iter().map(|(_, kind)| kind).max_by_key(|kind| kind.number)
    }

    /// Notes what a file looks like. `is_named`: the user named the format.
    pub fn note_choice(&mut self, choice: Option<Choice>, is_named: bool) {
        match choice {
            Some(choice) if is_named && choice.format != self.format => {
                self.looks_like = Some(choice);
            }
            Some(choice) if !is_named => self.reasons.push(choice.sentence()),
            _ => {}
        }
    }

    pub fn add(&mut self, batch: &RawBatch, decoded: DecodedBatch, decoders: &Decoders) {
        if self.records == 0 {
            self.note_sampling(batch);
            self.compare_addresses(batch, &decoded, decoders);
        }
        self.records += batch.len() as u64;
        self.skipped += decoded.skipped;
        self.left_out.merge(&decoded.fields_left_out);
        for rejection in decoded.rejections {
            self.reject(&batch.partition.topic, rejection);
        }
        for (_, event) in &decoded.events {
            self.count(event, batch.partition.partition);
        }
    }

    fn note_sampling(&mut self, batch: &RawBatch) {
        let mut records = batch.records().take(sampling::TRIED);
        self.sample_rate = records.find_map(|(_, record)| sampling::sample_rate(record));
    }

    /// Tries whether a header names other clients than the log.
    fn compare_addresses(&mut self, batch: &RawBatch, decoded: &DecodedBatch, all: &Decoders) {
        let Ok(believing) = all.believing(self.format) else { return };
        let believed = believing.decode(batch, NEVER).events;
        let mut believed = believed.iter().peekable();
        for (position, event) in &decoded.events {
            while believed.next_if(|(other, _)| other < position).is_some() {}
            if let Some((_, behind)) = believed.next_if(|(other, _)| other == position) {
                self.addresses.compare(event.client_ip, behind.client_ip);
            }
        }
    }

    fn count(&mut self, event: &AccessEvent, partition: i32) {
        self.events += 1;
        self.refused += u64::from(matches!(event.status, 401 | 403));
        self.raw_keys += u64::from(event.has_secret);
        self.keys.count(&event.key_id, partition);
        self.fields.count(event);
        self.addresses.count(event.client_ip);
        self.clocks.count(event);
        self.repetitions.count(event);
        self.times.push(event.time);
    }

    fn reject(&mut self, topic: &str, rejection: Rejection) {
        let Rejection { position, reason, detail, masked_payload, parts, .. } = rejection;
        match self.rejections.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, kind)) => kind.number += parts,
            None => {
                let place = format!("{topic}:{}", position.offset);
                let reason_name = reason.as_str();
                let kind = RejectionKind {
                    reason: reason_name,
                    number: parts,
                    place,
                    detail,
                    masked_payload,
                };
                self.rejections.push((reason, kind));
            }
        }
    }

    pub fn finish(mut self, settings: &Settings<'_>) -> Log {
        self.rejections.sort_by_key(|(_, kind)| u64::MAX - kind.number);
        let findings = findings(&self, settings);
        let span = self.clocks.span().map(|(first, last)| Span { first, last });
        Log {
            format: self.format,
            records: self.records,
            events: self.events,
            rejected: self.rejected(),
            skipped: self.skipped,
            keys: self.keys.len(),
            span,
            fields: if self.events > 0 { self.fields.shares() } else { Vec::new() },
            blind: match self.events {
                0 => Vec::new(),
                _ => self.fields.blind(settings.decoder, self.format),
            },
            rejections: self.rejections.into_iter().map(|(_, kind)| kind).collect(),
            reasons: self.reasons,
            findings,
        }
    }
}

impl Repetitions {
    fn count(&mut self, event: &AccessEvent) {
        let Some(id) = &event.request_id else { return };
        let mut hasher = DefaultHasher::new();
        (&event.key_id, event.time, &event.method, &event.path, event.status).hash(&mut hasher);
        let request = hasher.finish();
        match self.known.get(id) {
            None => drop(self.known.insert(id.clone(), request)),
            Some(known) if *known == request => self.same += 1,
            Some(_) => self.other += 1,
        }
    }
}
