//! How far one partition's log has come, by position and by event time.

use serde::{Deserialize, Serialize};

use crate::event::{EnrichedEvent, EventTime, RecordPosition};

use super::blackout::Blackouts;
use super::fleet::Fleet;

/// One event moves the watermark by at most this much, so that a single wrong clock
/// cannot push it away.
const WATERMARK_STEP_SECONDS: f64 = 3_600.0;
/// An event further than this from the watermark is an outlier ...
const OUTLIER_SECONDS: f64 = 7.0 * 86_400.0;
/// ... until so many in a row agree that the log has a gap.
const AGREEING_OUTLIERS: u32 = 3;

/// One partition. Partitions may be hours apart, when a backlog is read: each has its own
/// time, and its own picture of what all keys do at that time.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Log {
    /// Last position, and the latest event time up to it.
    last: Option<(RecordPosition, EventTime)>,
    watermark: Option<EventTime>,
    outliers_in_a_row: u32,
    pub fleet: Fleet,
    pub blackouts: Blackouts,
}

impl Log {
    /// The last offset that came.
    pub fn position(&self) -> Option<i64> {
        self.last.map(|(position, _)| position.offset)
    }

    /// Takes note of the next record. True for one that was handled before: at or before the
    /// last position, and no newer. (Offsets that begin again come with newer times.)
    pub fn is_redelivery(&mut self, enriched: &EnrichedEvent) -> bool {
        let (time, position) = (enriched.event.time, enriched.position);
        let Some((last_position, last_time)) = self.last else {
            self.last = Some((position, time));
            return false;
        };
        if position <= last_position && time <= last_time {
            return true;
        }
        self.last = Some((position, last_time.max(time)));
        false
    }

    /// Moves the watermark towards `time` and returns it; `None` for an event that stands
    /// alone in the future and must not be learned.
    pub fn advance(&mut self, time: EventTime) -> Option<EventTime> {
        let watermark = *self.watermark.get_or_insert(time);
        let ahead = time.seconds_since(watermark);
        if ahead.abs() > OUTLIER_SECONDS {
            self.outliers_in_a_row += 1;
            if self.outliers_in_a_row >= AGREEING_OUTLIERS {
                self.outliers_in_a_row = 0;
                self.watermark = Some(time);
                return self.watermark;
            }
            return (ahead < 0.0).then_some(watermark);
        }
        self.outliers_in_a_row = 0;
        if ahead > 0.0 {
            self.watermark = Some(watermark.plus_seconds(ahead.min(WATERMARK_STEP_SECONDS)));
        }
        self.watermark
    }
}
