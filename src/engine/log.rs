//! How far one partition's log has come, by position and by event time.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::event::{EnrichedEvent, EventTime, RecordPosition};

use super::blackout::Blackouts;
use super::fleet::Fleet;

/// One event moves the watermark by at most this much, and no event moves it further than this
/// beyond what most of the last events say.
const WATERMARK_STEP_SECONDS: f64 = 3_600.0;
/// So many events say what time it is.
const VOTES: usize = 31;
/// An event further than this ahead of the wall clock has a wrong one.
const FUTURE_SECONDS: f64 = 3_600.0;
/// An event further than this from the watermark is an outlier ...
const OUTLIER_SECONDS: f64 = 7.0 * 86_400.0;
/// ... until so many in a row agree that the log has a gap.
const AGREEING_OUTLIERS: u32 = 3;

/// Why an event is stored and not judged: its time says nothing about when it happened, or
/// what was usual then is not known any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuarantineReason {
    FutureTime,
    VeryLate,
}

impl QuarantineReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FutureTime => "future_time",
            Self::VeryLate => "very_late",
        }
    }
}

/// An event that was not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarantined {
    pub position: RecordPosition,
    pub reason: QuarantineReason,
}

/// One partition. Partitions may be hours apart, when a backlog is read: each has its own
/// time, and its own picture of what all keys do at that time.
///
/// The partition stands for its producers, since nothing in a record names the one whose clock
/// gave its time: the user agent is the caller's word. A producer with a wrong clock is
/// outvoted by the others that write to the partition.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Log {
    /// Last position, and the latest event time up to it.
    last: Option<(RecordPosition, EventTime)>,
    watermark: Option<EventTime>,
    /// The times of the last events, oldest first.
    votes: VecDeque<EventTime>,
    outliers_in_a_row: u32,
    pub fleet: Fleet,
    pub blackouts: Blackouts,
}

impl Log {
    /// The last offset that came.
    pub fn position(&self) -> Option<i64> {
        self.last.map(|(position, _)| position.offset)
    }

    /// How far it has come, in event time.
    pub fn watermark(&self) -> Option<EventTime> {
        self.watermark
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

    /// Moves the watermark towards `time` and returns it. `now` is the wall clock, where there
    /// is one.
    ///
    /// # Errors
    /// Why an event of that time must not be judged.
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

    /// At most a step beyond the median of the last events. Nearly always that is plain from
    /// how many of them are further behind, which costs less than the median.
    fn bounded(&self, time: EventTime) -> EventTime {
        let limit = time.plus_seconds(-WATERMARK_STEP_SECONDS);
        let behind = self.votes.iter().filter(|vote| **vote < limit).count();
        if behind <= self.votes.len().saturating_sub(1) / 2 {
            return time;
        }
        self.median().plus_seconds(WATERMARK_STEP_SECONDS)
    }

    /// Of the last events' times; the lower one of two.
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

    const HOUR: f64 = 3_600.0;
    const DAY: f64 = 86_400.0;

    fn at(seconds: f64) -> EventTime {
        EventTime::from_seconds(1_700_000_000).plus_seconds(seconds)
    }

    #[test]
    fn a_minority_with_a_wrong_clock_does_not_carry_the_watermark_away() {
        let mut log = Log::default();
        for n in 0..3_000 {
            let wrong = if n % 3 == 2 { 20.0 * HOUR } else { 0.0 };
            let watermark = log.advance(at(f64::from(n) + wrong), None).unwrap();
            assert!(watermark <= at(f64::from(n) + HOUR), "{n}: {watermark}");
        }
    }

    #[test]
    fn the_watermark_follows_a_gap_that_all_agree_on() {
        let mut log = Log::default();
        for n in 0..100 {
            log.advance(at(f64::from(n)), None).unwrap();
        }
        let night = 10.0 * HOUR;
        let last = (0..31).map(|n| log.advance(at(night + f64::from(n)), None).unwrap()).last();
        assert!(last.unwrap() >= at(night), "{last:?}");
    }

    #[test]
    fn what_is_ahead_of_the_wall_clock_is_set_aside_and_changes_nothing() {
        let (mut log, now) = (Log::default(), at(10.0));
        assert_eq!(log.advance(at(2.0 * HOUR), Some(now)), Err(QuarantineReason::FutureTime));
        assert_eq!(log.advance(at(0.0), Some(now)), Ok(at(0.0)));
        assert_eq!(log.advance(at(9.0), Some(now)), Ok(at(9.0)));
        let backtest = log.advance(at(2.0 * HOUR), None);
        assert!(backtest.is_ok(), "without a clock nothing is ahead of it: {backtest:?}");
    }

    #[test]
    fn a_lone_outlier_is_set_aside_and_three_in_a_row_are_the_log() {
        let mut log = Log::default();
        log.advance(at(0.0), None).unwrap();
        assert_eq!(log.advance(at(8.0 * DAY), None), Err(QuarantineReason::FutureTime));
        assert_eq!(log.advance(at(-8.0 * DAY), None), Err(QuarantineReason::VeryLate));
        assert_eq!(log.advance(at(-8.0 * DAY), None), Ok(at(-8.0 * DAY)));
    }
}
