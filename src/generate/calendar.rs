//! Schedules jobs that run at a time of day, on some days.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::event::EventTime;

const DAY: i64 = 86_400;
/// A monthly day recurs after at most two months.
const SEARCHED_DAYS: i64 = 62;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Days {
    Every,
    /// Day of the week; 0 is Monday.
    Weekly(i64),
    /// Monday to Friday.
    Business,
    /// Day of the month, from 1.
    Monthly(i8),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Calendar {
    pub days: Days,
    /// Local time of day.
    pub second_of_day: f64,
    pub utc_offset_seconds: i64,
    /// The largest delay, in seconds, with which the job begins.
    pub lateness: f64,
}

impl Calendar {
    /// The first time after `time` at which the job is due.
    pub fn next(&self, time: EventTime) -> Option<EventTime> {
        let local = time.plus_seconds(self.utc_offset_seconds as f64 - self.second_of_day);
        let today = local.as_micros().div_euclid(DAY * 1_000_000);
        let day = (today + 1..=today + SEARCHED_DAYS).find(|day| self.is_due(*day))?;
        let midnight = EventTime::from_seconds(day * DAY - self.utc_offset_seconds);
        Some(midnight.plus_seconds(self.second_of_day))
    }

    /// Mean number of runs a week.
    pub const fn per_week(&self) -> f64 {
        match self.days {
            Days::Every => 7.0,
            Days::Weekly(_) => 1.0,
            Days::Business => 5.0,
            Days::Monthly(_) => 7.0 * 12.0 / 365.25,
        }
    }

    fn is_due(&self, day: i64) -> bool {
        let weekday = (day + 3).rem_euclid(7);
        match self.days {
            Days::Every => true,
            Days::Weekly(wanted) => weekday == wanted,
            Days::Business => weekday < 5,
            Days::Monthly(wanted) => Timestamp::from_second(day * DAY)
                .is_ok_and(|time| time.to_zoned(TimeZone::UTC).day() == wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(days: Days, count: usize) -> Vec<i64> {
        let calendar =
            Calendar { days, second_of_day: 21_600.0, utc_offset_seconds: -18_000, lateness: 0.0 };
        // Monday, 5 January 2026.
        let start = EventTime::from_seconds(1_767_571_200);
        let mut time = start;
        let mut due = Vec::new();
        while let Some(next) = calendar.next(time).filter(|_| due.len() < count) {
            let seconds = next.seconds_since(start) as i64;
            assert_eq!(seconds.rem_euclid(DAY), 11 * 3_600);
            due.push(seconds / DAY);
            time = next;
        }
        due
    }

    #[test]
    fn jobs_run_on_their_days_at_their_local_time() {
        assert_eq!(days(Days::Every, 3), [0, 1, 2]);
        assert_eq!(days(Days::Business, 6), [0, 1, 2, 3, 4, 7]);
        assert_eq!(days(Days::Weekly(2), 3), [2, 9, 16]);
        assert_eq!(days(Days::Monthly(1), 2), [27, 55]);
    }
}
