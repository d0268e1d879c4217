//! Remembers reported bursts, so that a burst becomes ordinary after a few recurrences.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::WINDOWS;

/// Most bursts remembered for one key.
const REMEMBERED: usize = 4;
/// Quiet minutes after which a burst has ended. Incidents close after the same time.
const QUIET_MINUTES: i32 = 30;
/// A burst is remembered for this long after its last recurrence: two months and some days.
const REMEMBERED_DAYS: u16 = 70;
/// Base of the logarithms in which heights are kept.
const STEP: f32 = 1.25;
/// A burst that is higher by at most this many steps (about half) counts as the same.
const SAME_STEPS: u8 = 2;
/// Heights up to this one (18 to 22 requests) count as equal, because windows with so few requests
/// are not judged.
const LOWEST: u8 = 14;
/// A burst that is lower by more than this many steps (a third of the height) does not refresh a
/// remembered one.
const SMALLER_STEPS: u8 = 5;
/// A burst that was reported this often is ordinary, and not reported again.
pub(super) const ORDINARY_TIMES: u8 = 3;
const MINUTES_A_DAY: i32 = 1_440;

/// Height of a count: its logarithm to the base [`STEP`], plus 1. The height of 0 is 0.
pub(super) fn height_of(count: u32) -> u8 {
    if count == 0 {
        return 0;
    }
    // The height of any count is at most 101.
    ((count as f32).ln() / STEP.ln()).round() as u8 + 1
}

type Heights = [u8; WINDOWS];

/// A reported burst: its greatest height in the windows of each length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Habit {
    heights: Heights,
    /// Number of times that the burst was reported.
    times: u8,
    /// Minute in which the latest report of the burst began, since the epoch.
    told: i32,
    /// Day of the last recurrence, since the epoch.
    day: u16,
}

impl Habit {
    fn covers(&self, heights: Heights) -> bool {
        let is_same = |(own, other): (&u8, u8)| other <= (*own).max(LOWEST) + SAME_STEPS;
        self.times > 0 && self.heights.iter().zip(heights).all(is_same)
    }
}

/// The reported burst that has not ended.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Open {
    heights: Heights,
    /// There was other evidence of theft with the burst, so it must not become ordinary.
    is_tainted: bool,
    /// Minute of the first report, since the epoch.
    began: i32,
    /// Minute of the last report, since the epoch.
    minute: i32,
}

/// The reported bursts of a key. A burst that recurs, without being confirmed as theft, becomes
/// ordinary.
///
/// The heights are those of the first report. So a burst that grows with each recurrence is a new
/// one as soon as it has grown by half.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Habits {
    known: [Habit; REMEMBERED],
    open: Open,
}

impl Habits {
    /// Number of times that a burst of at least about `count` requests in a window of this length
    /// was reported.
    pub fn familiarity(&self, which: usize, count: u32) -> u8 {
        let height = height_of(count);
        let covering = |habit: &&Habit| height <= habit.heights[which].max(LOWEST) + SAME_STEPS;
        let times = |habit: &Habit| habit.times;
        self.known.iter().filter(covering).map(times).max().unwrap_or(0)
    }

    /// Records a burst that is reported in `minute` (since the epoch), with its counts so far.
    pub fn tell(&mut self, minute: i32, counts: [u32; WINDOWS], is_tainted: bool) {
        self.close_before(minute);
        if self.open.heights == Heights::default() {
            self.open.began = minute;
        }
        for (height, count) in self.open.heights.iter_mut().zip(counts) {
            *height = (*height).max(height_of(count));
        }
        self.open.is_tainted |= is_tainted;
        self.open.minute = minute;
    }

    /// Ends the open burst if it has been quiet long enough by `minute`, and remembers it.
    pub fn close_before(&mut self, minute: i32) {
        let Open { heights, is_tainted, began, minute: last } = self.open;
        if heights == Heights::default() || minute.saturating_sub(last) <= QUIET_MINUTES {
            return;
        }
        self.open = Open::default();
        let day = day_of(last);
        self.forget_before(day);
        if is_tainted {
            return;
        }
        if let Some(habit) = self.known.iter_mut().find(|habit| habit.covers(heights)) {
            habit.times = habit.times.saturating_add(1);
            (habit.told, habit.day) = (began, day);
        } else if let Some(habit) = self.known.iter_mut().min_by_key(|habit| habit.day) {
            *habit = Habit { heights, times: 1, told: began, day };
        }
    }

    /// Refreshes bursts that a closed window of `count` requests resembles. Bursts that have become
    /// ordinary are not reported any more, so they would otherwise be forgotten.
    pub fn see(&mut self, which: usize, count: u32, minute: i32) {
        let height = height_of(count);
        for habit in &mut self.known {
            let own = habit.heights[which];
            if habit.times > 0 && own > SMALLER_STEPS && height >= own - SMALLER_STEPS {
                habit.day = day_of(minute);
            }
        }
    }

    /// Forgets the bursts that were reported on the day of `minute` or later.
    pub fn forget_since(&mut self, minute: i32) {
        for habit in self.known.iter_mut().filter(|habit| habit.day >= day_of(minute)) {
            *habit = Habit::default();
        }
        self.open = Open::default();
    }

    /// Makes the bursts ordinary whose latest report began in `minutes`; `now` is the current
    /// minute. A burst of that time that is still open ends with it.
    pub fn take_up(&mut self, minutes: &RangeInclusive<i32>, now: i32) {
        if minutes.contains(&self.open.began) {
            self.open.is_tainted = false;
            self.close_before(now.saturating_add(QUIET_MINUTES + 1));
        }
        let is_meant = |habit: &&mut Habit| habit.times > 0 && minutes.contains(&habit.told);
        for habit in self.known.iter_mut().filter(is_meant) {
            habit.times = habit.times.max(ORDINARY_TIMES);
        }
    }

    fn forget_before(&mut self, day: u16) {
        for habit in &mut self.known {
            if day.saturating_sub(habit.day) > REMEMBERED_DAYS {
                *habit = Habit::default();
            }
        }
    }
}

fn day_of(minute: i32) -> u16 {
    u16::try_from(minute / MINUTES_A_DAY).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i32 = MINUTES_A_DAY;
    const COUNTS: [u32; WINDOWS] = [8, 60, 200, 200, 200];

    fn reported(days: impl Iterator<Item = i32>, is_tainted: bool) -> Habits {
        let mut habits = Habits::default();
        for day in days {
            habits.tell(20_000 * DAY + day * DAY, COUNTS, is_tainted);
            habits.tell(20_000 * DAY + day * DAY + 5, COUNTS, false);
            habits.close_before(20_000 * DAY + day * DAY + 60);
        }
        habits
    }

    #[test]
    fn the_familiarity_of_a_burst_is_the_number_of_its_reports() {
        for times in 0..5u8 {
            assert_eq!(reported(0..i32::from(times), false).familiarity(2, 190), times);
        }
    }

    #[test]
    fn a_monthly_burst_is_remembered() {
        assert_eq!(reported((0..4).map(|month| month * 30), false).familiarity(2, 200), 4);
    }

    #[test]
    fn a_burst_that_has_grown_by_half_is_a_new_one() {
        let habits = reported(0..5, false);
        assert_eq!(habits.familiarity(2, 240), 5);
        assert_eq!(habits.familiarity(2, 400), 0);
    }

    #[test]
    fn only_bursts_of_the_dismissed_time_become_ordinary() {
        let minute = |day: i32| 20_000 * DAY + day * DAY;
        let mut habits = reported(0..1, false);
        let higher = COUNTS.map(|count| 10 * count);
        habits.tell(minute(0) + 90, higher, true);
        habits.take_up(&(minute(0)..=minute(0) + 5), minute(0) + 95);
        assert_eq!(habits.familiarity(2, 190), ORDINARY_TIMES);
        habits.close_before(minute(1));
        assert_eq!(habits.familiarity(2, 2_000), 0, "the later burst is tainted still");
    }

    #[test]
    fn a_burst_with_other_evidence_never_becomes_ordinary() {
        assert_eq!(reported(0..20, true).familiarity(2, 200), 0);
    }
}
