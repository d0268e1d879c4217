//! Bytes to events. What cannot be decoded becomes a rejection, never a guess.

use crate::event::{AccessEvent, PartitionId, RecordPosition};

/// What decode made of one raw batch.
#[derive(Debug)]
pub struct DecodedBatch {
    pub partition: PartitionId,
    pub first_offset: i64,
    pub last_offset: i64,
    pub events: Vec<(RecordPosition, AccessEvent)>,
    pub rejections: Vec<Rejection>,
}

/// A record, or a part of one, that is not a usable event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub position: RecordPosition,
    /// Stable, lower case, for grouping: `invalid_json`, `missing_time`, `bad_status`, ...
    pub reason: &'static str,
    /// A sentence for a person: which field, what was found, what is expected.
    pub detail: String,
    /// The start of the payload with secrets masked.
    pub masked_payload: String,
}
