//! Collects what a batch of records decodes to.

use super::assemble::{Context, Refusal};
use super::format::Format;
use super::left_out::LeftOut;
use super::mask::{self, Trust};
use super::reason::RejectReason;
use super::requests::{Request, each_request};
use crate::event::{AccessEvent, KeyId, PartitionId, RecordPosition};
use crate::record::RawBatch;

/// Rejections that one record may make. One more counts for the rest: `[{},{},...]` would otherwise
/// make hundreds of thousands.
pub(super) const MAX_REJECTIONS: usize = 10;

/// Rejections that tell of parts of records in one batch. Behind them, a record makes one rejection
/// for all of its parts.
pub(super) const MAX_DETAILED_REJECTIONS: usize = 20_000;

/// The decoded events and rejections of one raw batch.
#[derive(Debug)]
pub struct DecodedBatch {
    pub partition: PartitionId,
    pub events: Vec<(RecordPosition, AccessEvent)>,
    pub rejections: Vec<Rejection>,
    /// The optional fields that were present but unusable and were left out of their events.
    pub fields_left_out: LeftOut,
    /// The number of requests that the format leaves out, such as those of the gateway itself.
    pub skipped: u64,
}

/// A record, or a part of one, that is not a usable event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub position: RecordPosition,
    pub reason: RejectReason,
    /// A sentence for the operator: the field, the value found, and the value expected.
    pub detail: String,
    /// The start of the payload with secrets masked.
    pub masked_payload: String,
    /// The number of parts of the record that it stands for, at least 1.
    pub parts: u64,
    /// The key that the record names, if it can be told.
    pub key_id: Option<KeyId>,
}

/// The lengths of a batch at one moment.
pub(super) struct Mark {
    events: usize,
    rejections: usize,
    skipped: u64,
}

impl DecodedBatch {
    pub(super) fn new(batch: &RawBatch) -> Self {
        Self {
            partition: batch.partition.clone(),
            events: Vec::with_capacity(batch.len()),
            rejections: Vec::new(),
            fields_left_out: LeftOut::default(),
            skipped: 0,
        }
    }

    /// The number of rejected records and parts of records.
    pub fn rejected(&self) -> u64 {
        self.rejections.iter().map(|rejection| rejection.parts).sum()
    }

    pub(super) fn mark(&self) -> Mark {
        let (events, rejections) = (self.events.len(), self.rejections.len());
        Mark { events, rejections, skipped: self.skipped }
    }

    pub(super) fn has_events_since(&self, mark: &Mark) -> bool {
        self.events.len() > mark.events
    }

    /// Removes what was added since, if it was no event.
    pub(super) fn reset_to(&mut self, mark: Mark) {
        self.rejections.truncate(mark.rejections);
        self.skipped = mark.skipped;
    }

    pub(super) fn add_record(
        &mut self,
        context: &Context<'_>,
        offset: i64,
        text: &str,
        is_lossy: bool,
    ) {
        let first = self.rejections.len();
        let most = if first < MAX_DETAILED_REJECTIONS { MAX_REJECTIONS } else { 0 };
        each_request(context.format, text, is_lossy, &mut |index, text, request| {
            let position = RecordPosition { offset, index };
            let mut key_id = None;
            let refused = match request {
                Request::Event(raw) => {
                    let Self { events, fields_left_out, .. } = self;
                    context
                        .assemble(raw, fields_left_out, |event| events.push((position, event)))
                        .map_err(|refusal| {
                            key_id = context.key_id(raw).ok();
                            (Trust::Parsed, refusal)
                        })
                }
                Request::Skipped { .. } => {
                    self.skipped += 1;
                    Ok(())
                }
                Request::Refused(trust, refusal) => Err((trust, refusal)),
            };
            let Err((trust, refusal)) = refused else { return };
            let made = self.rejections.len() - first;
            let (payload, format) = (text.as_bytes(), context.format);
            match self.rejections.last_mut() {
                Some(rest) if made > most => rest.count_one_more(),
                _ if made == most => {
                    self.rejections.push(Rejection::of_the_rest(position, refusal.reason))
                }
                _ => {
                    self.reject(offset, index, payload, trust, format, refusal);
                    if let Some(rejection) = self.rejections.last_mut() {
                        rejection.key_id = key_id;
                    }
                }
            }
        });
    }

    pub(super) fn reject(
        &mut self,
        offset: i64,
        index: u32,
        payload: &[u8],
        trust: Trust,
        format: &Format,
        refusal: Refusal,
    ) {
        self.rejections.push(Rejection {
            position: RecordPosition { offset, index },
            reason: refusal.reason,
            detail: refusal.detail,
            masked_payload: mask::payload(payload, trust, format),
            parts: 1,
            key_id: None,
        });
    }
}

impl Rejection {
    /// Stands for all further rejections of a record.
    pub(super) fn of_the_rest(position: RecordPosition, reason: RejectReason) -> Self {
        let (masked_payload, detail) = Default::default();
        let mut rest = Self { position, reason, detail, masked_payload, parts: 0, key_id: None };
        rest.count_one_more();
        rest
    }

    pub(super) fn count_one_more(&mut self) {
        self.parts += 1;
        self.detail = match self.parts {
            1 => "1 more part of this record was rejected".to_owned(),
            parts => format!("{parts} more parts of this record were rejected"),
        };
    }
}
