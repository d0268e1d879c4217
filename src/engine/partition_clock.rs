//! Follows how far one partition's log has come, by position and by event time.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::event::{DAY_SECONDS, EnrichedEvent, EventTime, HOUR_SECONDS, RecordPosition};

use super::blackout::Blackouts;
use super::fleet::Fleet;

/// One event moves the watermark by at most this much. No event moves it further than this beyond
/// the median of the last events.
const WATERMARK_STEP_SECONDS: f64 = HOUR_SECONDS;
/// Number of last events whose times form the median.
const VOTES: usize = 31;
/// An event further than this ahead of the wall clock has a wrong time.
const FUTURE_SECONDS: f64 = HOUR_SECONDS;
/// An event further than this from the watermark is an outlier ...
const OUTLIER_SECONDS: f64 = 7.0 * DAY_SECONDS;
/// ... until this many in a row agree: then the log has a gap.
const AGREEING_OUTLIERS: u32 = 3;

/// The reason why an event is stored and not judged. Its time is wrong, or so late that the
/// profiles no longer remember what was usual then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum QuarantineReason {
    FutureTime,
    VeryLate,
}

impl QuarantineReason {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// The clock of one partition. Partitions may be hours apart while a backlog is read. Each
/// therefore has its own time, and its own counts of what all keys do at that time.
///
/// One clock serves all producers of a partition, because records do not identify their producer:
/// the user agent is the caller's claim. The median outvotes a producer with a wrong clock.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct PartitionClock {
    /// The last position, and the latest event time up to it.
    last: Option<(RecordPosition, EventTime)>,
    watermark: Option<EventTime>,
    /// The times of the last events, oldest first.
    votes: VecDeque<EventTime>,
    outliers_in_a_row: u32,
    pub fleet: Fleet,
    pub blackouts: Blackouts,
}

impl PartitionClock {
    /// The last offset that was processed.
    pub fn position(&self) -> Option<i64> {
        self.last.map(|(position, _)| position.offset)
    }

    /// The event time that the partition has reached.
    pub fn watermark(&self) -> Option<EventTime> {
        self.watermark
    }

    /// Notes the next record, and says whether it was processed before: its position is not after
    /// the last one, and its time is not after the latest. (When a topic is created anew, its
    /// offsets begin again, but with newer times.)
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

    /// Moves the watermark towards `time` and returns it. `now` is the wall clock, if there is one.
    ///
    /// # Errors
    /// The reason why an event of that time must not be judged.
    pub fn advance(
        &mut self,
        time: EventTime,
        now: Option<EventTime>,
    ) -> Result<EventTime, QuarantineReason> {
        if now.is_some_and(|now| time.seconds_since(now) > FUTURE_SECONDS) {
            return Err(QuarantineReason::FutureTime);
        }
        let watermark = *self.watermark.get_or_insert(time);
        let ahead = time.seconds_since(watermark);
        if ahead.abs() > OUTLIER_SECONDS {
            return self.take_outlier(time, ahead);
        }
        self.outliers_in_a_row = 0;
        self.vote(time);
        if ahead > 0.0 {
            let step = watermark.plus_seconds(ahead.min(WATERMARK_STEP_SECONDS));
            self.watermark = Some(watermark.max(self.bounded(step)));
        }
        Ok(self.watermark.unwrap_or(time))
    }

    fn take_outlier(&mut self, time: EventTime, ahead: f64) -> Result<EventTime, QuarantineReason> {
        self.outliers_in_a_row += 1;
        if self.outliers_in_a_row >= AGREEING_OUTLIERS {
            self.outliers_in_a_row = 0;
            self.votes.clear();
            self.vote(time);
            self.watermark = Some(time);
            return Ok(time);
        }
        let is_future = ahead > 0.0;
        Err(if is_future { QuarantineReason::FutureTime } else { QuarantineReason::VeryLate })
    }

    fn vote(&mut self, time: EventTime) {
        if self.votes.len() == VOTES {
            self.votes.pop_front();
        }
        self.votes.push_back(time);
    }

    /// Limits `time` to one step beyond the median of the last events.
    ///
    /// Counting the events that are further behind nearly always decides this, and costs less than
    /// the median.
    fn bounded(&self, time: EventTime) -> EventTime {
        let limit = time.plus_seconds(-WATERMARK_STEP_SECONDS);
        let behind = self.votes.iter().filter(|vote| **vote < limit).count();
        if behind <= self.votes.len().saturating_sub(1) / 2 {
            return time;
        }
        self.median().plus_seconds(WATERMARK_STEP_SECONDS)
    }

    /// The median of the last events' times; of two middle ones, the earlier.
    fn median(&self) -> EventTime {
        let mut times: [EventTime; VOTES] = [EventTime::default(); VOTES];
        let times = &mut times[..self.votes.len()];
        for (slot, time) in times.iter_mut().zip(&self.votes) {
            *slot = *time;
        }
        let middle = times.len().saturating_sub(1) / 2;
        times.select_nth_unstable(middle).1.to_owned()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HOUR: f64 = HOUR_SECONDS;
    const DAY: f64 = DAY_SECONDS;

    fn at(seconds: f64) -> EventTime {
        EventTime::from_seconds(1_700_000_000).plus_seconds(seconds)
    }

    #[test]
    fn a_minority_with_a_wrong_clock_does_not_carry_the_watermark_away() {
        let mut clock = PartitionClock::default();
        for n in 0..3_000 {
            let wrong = if n % 3 == 2 { 20.0 * HOUR } else { 0.0 };
            let watermark = clock.advance(at(f64::from(n) + wrong), None).unwrap();
            assert!(watermark <= at(f64::from(n) + HOUR), "{n}: {watermark}");
        }
    }

    #[test]
    fn the_watermark_follows_a_gap_that_all_agree_on() {
        let mut clock = PartitionClock::default();
        for n in 0..100 {
            clock.advance(at(f64::from(n)), None).unwrap();
        }
        let night = 10.0 * HOUR;
        let last = (0..31).map(|n| clock.advance(at(night + f64::from(n)), None).unwrap()).last();
        assert!(last.unwrap() >= at(night), "{last:?}");
    }

    #[test]
    fn an_event_ahead_of_the_wall_clock_is_quarantined_and_changes_nothing() {
        let (mut clock, now) = (PartitionClock::default(), at(10.0));
        assert_eq!(clock.advance(at(2.0 * HOUR), Some(now)), Err(QuarantineReason::FutureTime));
        assert_eq!(clock.advance(at(0.0), Some(now)), Ok(at(0.0)));
        assert_eq!(clock.advance(at(9.0), Some(now)), Ok(at(9.0)));
        let backtest = clock.advance(at(2.0 * HOUR), None);
        assert!(backtest.is_ok(), "without a wall clock no event is ahead of it: {backtest:?}");
    }

    #[test]
    fn a_lone_outlier_is_quarantined_and_three_in_a_row_move_the_watermark() {
        let mut clock = PartitionClock::default();
        clock.advance(at(0.0), None).unwrap();
        assert_eq!(clock.advance(at(8.0 * DAY), None), Err(QuarantineReason::FutureTime));
        assert_eq!(clock.advance(at(-8.0 * DAY), None), Err(QuarantineReason::VeryLate));
        assert_eq!(clock.advance(at(-8.0 * DAY), None), Ok(at(-8.0 * DAY)));
    }
}
