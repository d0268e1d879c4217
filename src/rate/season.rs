//! Learns the expected rate at each hour of the week, from a key's own history and from others.

use serde::{Deserialize, Serialize};

use super::{DAY, HOUR};

/// Number of seasons: 24 hours of weekdays (UTC), then 24 hours of weekends.
pub const SEASONS: usize = 48;
const WEEKDAYS: usize = 7;

/// Half-life of the overall rate.
const HALF_LIFE_HOURS: f32 = 14.0 * 24.0;
/// Half-life of a season in hours of this season: about three weeks for weekdays.
const SEASON_HALF_LIFE_HOURS: f32 = 14.0;
/// Weight of the first guess of the rate, in hours.
const PRIOR_HOURS: f32 = 0.1;
/// Weight of the borrowed rate in a season's mean, in hours.
const SHRINKAGE_HOURS: f32 = 1.0;
/// Prior weight of a factor of 1 for each day of the week, in events.
const WEEKDAY_PRIOR_EVENTS: f32 = 500.0;
/// Bounds of the factor of a day of the week.
const WEEKDAY_BOUNDS: (f32, f32) = (0.25, 4.0);
/// Decay of the counts of a day of the week, for each week.
const WEEK_DECAY: f32 = 0.8;
/// Prior relative variance of a season's rate around the borrowed rate. The value is between those
/// of constant use and of office hours.
const PRIOR_SPREAD: f32 = 0.7;
/// Weight of [`PRIOR_SPREAD`], in seasons.
const PRIOR_SPREAD_SEASONS: f32 = 3.0;
/// Relative variance of a season's mean that remains with any amount of history.
const LEAST_UNCERTAINTY: f32 = 0.02;

/// Parameters of a Gamma posterior: decayed numbers of events, and of the hours of their counting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Gamma {
    pub events: f32,
    pub hours: f32,
}

impl Gamma {
    /// Events per hour, shrunk towards `prior` with the weight [`SHRINKAGE_HOURS`].
    fn shrunk_to(self, prior: f32) -> f32 {
        (self.events + SHRINKAGE_HOURS * prior) / (self.hours + SHRINKAGE_HOURS)
    }

    fn add(&mut self, events: f32, hours: f32, half_life: f32) {
        let decay = (-hours / half_life).exp2();
        self.events = self.events * decay + events;
        self.hours = self.hours * decay + hours;
    }
}

/// Rate of each season relative to the mean, in the population. A key with little history borrows
/// it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Shape(#[serde(with = "crate::rate::sparse")] pub [f32; SEASONS]);

impl Shape {
    /// Equal rates in all seasons.
    pub const FLAT: Self = Self([1.0; SEASONS]);
}

/// The expected rate at each hour of the week.
///
/// Each season (an hour of the day on weekdays or on weekends) has a Gamma posterior. It is shrunk
/// towards the same hour on the other kind of day. That one is shrunk towards the borrowed rate:
/// the overall rate in the shape of the population. The result is multiplied by a factor for the
/// day of the week.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Seasons {
    #[serde(with = "crate::rate::sparse")]
    own: [Gamma; SEASONS],
    /// Events and hours of all seasons.
    pub overall: Gamma,
    /// Hours of `overall`, weighted with the population's shape.
    shaped_hours: f32,
    /// Events and expected events of ended days by day of the week, Monday first.
    weekdays: [(f32, f32); WEEKDAYS],
    /// Events and expected events of the current day.
    today: (f32, f32),
    /// Number of the current day since the epoch.
    day: i64,
    /// Estimated relative variance of seasons around the overall rate.
    spread: f32,
}

impl Default for Seasons {
    /// A first guess of one event per hour.
    fn default() -> Self {
        Self::starting_at(1.0)
    }
}

impl Seasons {
    /// Seasons without history. `guess` is the expected number of events per hour.
    pub fn starting_at(guess: f32) -> Self {
        let overall = Gamma { events: PRIOR_HOURS * guess, hours: PRIOR_HOURS };
        Self {
            own: [Gamma::default(); SEASONS],
            overall,
            shaped_hours: PRIOR_HOURS,
            weekdays: [(0.0, 0.0); WEEKDAYS],
            today: (0.0, 0.0),
            day: 0,
            spread: PRIOR_SPREAD,
        }
    }

    /// Expected events per second at the time `second`.
    pub fn rate(&self, second: i64, shape: &Shape) -> f64 {
        f64::from(self.hourly(season_of(second), shape) * self.weekday_factor(second)) / HOUR as f64
    }

    /// Expected value of a row at `second`, interpolated between the middles of hours.
    pub fn smooth_mean(&self, second: i64) -> f64 {
        let parts = Self::between(second)
            .map(|(season, weight)| self.hourly(season, &Shape::FLAT) * weight);
        f64::from(parts[0] + parts[1])
    }

    fn hourly(&self, season: usize, shape: &Shape) -> f32 {
        let other = other_day(season);
        let same_hour = self.own[other].shrunk_to(self.borrowed(other, shape));
        let prior = if self.own[other].hours > 0.0 {
            // The key's own rate at this hour on the other kind of day is a better prior than the
            // population's shape.
            same_hour
        } else {
            self.borrowed(season, shape)
        };
        self.own[season].shrunk_to(prior)
    }

    /// Events per hour that the population's shape gives for the overall rate. It is never below
    /// the overall mean, so a key is not suspicious for working at hours when others do not.
    fn borrowed(&self, season: usize, shape: &Shape) -> f32 {
        let plain = self.overall.events / self.overall.hours.max(PRIOR_HOURS / 2.0);
        let shaped = self.overall.events / self.shaped_hours.max(PRIOR_HOURS / 2.0);
        plain.max(shaped * shape.0[season])
    }

    fn weekday_factor(&self, second: i64) -> f32 {
        let (events, expected) = self.weekdays[weekday_of(second)];
        let factor = (events + WEEKDAY_PRIOR_EVENTS) / (expected + WEEKDAY_PRIOR_EVENTS);
        factor.clamp(WEEKDAY_BOUNDS.0, WEEKDAY_BOUNDS.1)
    }

    /// History of the season of `second`. The same hour on the other kind of day counts half.
    pub fn known(&self, second: i64) -> Gamma {
        let season = season_of(second);
        let (own, other) = (self.own[season], self.own[other_day(season)]);
        Gamma { events: own.events + 0.5 * other.events, hours: own.hours + 0.5 * other.hours }
    }

    /// Squared relative error of the mean of a season with `known_hours` of history. It is the
    /// posterior variance if seasons vary by `spread` and the hours of one season by `within` (both
    /// are relative variances), plus [`LEAST_UNCERTAINTY`].
    pub fn uncertainty(&self, known_hours: f32, within: f32) -> f32 {
        LEAST_UNCERTAINTY + self.spread * within / (within + known_hours * self.spread)
    }

    /// Rate of the busier of the two adjacent hours, as a multiple of the rate at `second`. It is at
    /// least 1, and ignores hours without history. Clock changes shift use by an hour, and people
    /// start early or stay late.
    pub fn nearby_factor(&self, second: i64, shape: &Shape) -> f32 {
        let own = self.hourly(season_of(second), shape).max(f32::MIN_POSITIVE);
        [second - HOUR, second + HOUR]
            .map(season_of)
            .into_iter()
            .filter(|&season| self.own[season].hours >= 1.0)
            .map(|season| self.own[season].events / self.own[season].hours / own)
            .fold(1.0, f32::max)
    }

    /// Learns `events` in an interval of `length` seconds from `second`, which must lie within one
    /// hour.
    pub fn learn(&mut self, second: i64, length: i64, events: f32, shape: &Shape) {
        let hours = length as f32 / HOUR as f32;
        let season = season_of(second);
        let expected = self.hourly(season, shape) * hours;
        self.end_day_before(second);
        self.today = (self.today.0 + events, self.today.1 + expected);
        self.own[season].add(events, hours, SEASON_HALF_LIFE_HOURS);
        self.add_overall(events, hours, shape.0[season]);
    }

    fn add_overall(&mut self, events: f32, hours: f32, shape: f32) {
        self.overall.add(events, hours, HALF_LIFE_HOURS);
        let decay = (-hours / HALF_LIFE_HOURS).exp2();
        self.shaped_hours = self.shaped_hours * decay + hours * shape;
    }

    /// Learns a row with the mean `value` over `step` seconds. The two hours whose middles are
    /// around the row each learn a part.
    pub fn learn_row(&mut self, second: i64, step: f64, value: f32) {
        let hours = (step / HOUR as f64) as f32;
        for (season, weight) in Self::between(second) {
            let hours = hours * weight;
            self.own[season].add(value * hours, hours, SEASON_HALF_LIFE_HOURS);
        }
        self.add_overall(value * hours, hours, 1.0);
    }

    /// Seasons of the two hours whose middles are around `second`, with their weights.
    fn between(second: i64) -> [(usize, f32); 2] {
        let (before, after) = (second.saturating_sub(HOUR / 2), second.saturating_add(HOUR / 2));
        let later = before.rem_euclid(HOUR) as f32 / HOUR as f32;
        [(season_of(before), 1.0 - later), (season_of(after), later)]
    }

    /// Adds the current day to its day of the week if `second` is in a later day. Until then, a day
    /// does not affect its own expectation.
    fn end_day_before(&mut self, second: i64) {
        let day = second.div_euclid(DAY);
        if day <= self.day {
            return;
        }
        let (events, expected) = std::mem::take(&mut self.today);
        // Saved state may be damaged: bounds that are not in order would panic.
        let expected = expected.max(0.0);
        let events = events.clamp(WEEKDAY_BOUNDS.0 * expected, WEEKDAY_BOUNDS.1 * expected);
        let weekday = &mut self.weekdays[weekday_of(self.day * DAY)];
        *weekday = (weekday.0 * WEEK_DECAY + events, weekday.1 * WEEK_DECAY + expected);
        self.day = day;
    }

    /// Removes `events` from the hour that began at `second`.
    pub fn unlearn(&mut self, second: i64, events: f32) {
        for known in [&mut self.own[season_of(second)], &mut self.overall] {
            known.events = (known.events - events).max(0.0);
        }
        self.today.0 = (self.today.0 - events).max(0.0);
    }

    /// Computes `spread` from all seasons. It is called only once an hour, because it reads all of
    /// them.
    pub fn measure_spread(&mut self) {
        let mean = (self.overall.events / self.overall.hours.max(0.1)).max(0.1);
        let (mut squares, mut seasons) =
            (PRIOR_SPREAD * PRIOR_SPREAD_SEASONS, PRIOR_SPREAD_SEASONS);
        for known in self.own.iter().filter(|known| known.hours >= 0.5) {
            let rate = known.events / known.hours;
            // Subtract the Poisson variance, which is not a difference between seasons.
            let noise = 1.0 / known.events.max(1.0);
            squares += ((rate / mean - 1.0).powi(2) - noise).max(0.0);
            seasons += 1.0;
        }
        self.spread = (squares / seasons).min(2.0);
    }
}

/// The season of the same hour on the other kind of day.
const fn other_day(season: usize) -> usize {
    (season + 24) % SEASONS
}

/// Day of the week, where Monday is 0. The epoch began on a Thursday.
const fn weekday_of(second: i64) -> usize {
    (second.div_euclid(DAY) + 3).rem_euclid(7) as usize
}

/// Season of a time: the hour of the day (UTC), plus 24 on weekends.
pub fn season_of(second: i64) -> usize {
    let hour = (second.rem_euclid(DAY) / HOUR) as usize;
    if weekday_of(second) >= 5 { 24 + hour } else { hour }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONDAY: i64 = 1_767_571_200;

    #[test]
    fn weekdays_and_weekends_have_separate_seasons() {
        assert_eq!(season_of(MONDAY), 0);
        assert_eq!(season_of(MONDAY + 5 * DAY + 3 * HOUR), 27);
        assert_eq!(season_of(MONDAY - 1), 24 + 23);
    }

    #[test]
    fn a_day_whose_expectation_was_damaged_ends() {
        for expected in [-5.0, f32::NAN, f32::INFINITY] {
            let mut seasons = Seasons { today: (1.0, expected), ..Seasons::default() };
            seasons.end_day_before(seasons.day * DAY + 2 * DAY);
        }
    }

    fn learn_days(seasons: &mut Seasons, days: i64, shape: &Shape, rate: impl Fn(i64) -> f32) {
        for hour in 0..days * 24 {
            seasons.learn(MONDAY + hour * HOUR, HOUR, rate(hour), shape);
        }
        seasons.measure_spread();
    }

    #[test]
    fn a_quiet_day_of_the_week_is_learned() {
        let mut seasons = Seasons::default();
        let quiet_mondays = |hour: i64| if hour / 24 % 7 == 0 { 100.0 } else { 400.0 };
        learn_days(&mut seasons, 28, &Shape::FLAT, quiet_mondays);
        let at = |day: i64| seasons.rate(MONDAY + (28 + day) * DAY, &Shape::FLAT) * HOUR as f64;
        assert!(at(0) < 200.0, "Monday: {}", at(0));
        assert!(at(1) > 330.0, "Tuesday: {}", at(1));
    }

    #[test]
    fn a_young_key_borrows_the_shape_of_others_and_never_less_than_its_mean() {
        let mut shape = Shape::FLAT;
        for hour in 0..24 {
            shape.0[hour] = if (9..17).contains(&hour) { 2.5 } else { 0.25 };
        }
        let mut seasons = Seasons::default();
        for hour in 0..6 {
            seasons.learn(MONDAY + hour * HOUR, HOUR, 10.0, &shape);
        }
        let at = |hour: i64| seasons.rate(MONDAY + hour * HOUR, &shape) * HOUR as f64;
        assert!(at(12) > 60.0, "noon: {}", at(12));
        assert!(at(20) > 9.0, "evening: {}", at(20));
    }

    #[test]
    fn the_unseen_hours_of_an_even_key_are_less_uncertain() {
        let (mut even, mut uneven) = (Seasons::default(), Seasons::default());
        learn_days(&mut even, 1, &Shape::FLAT, |_| 300.0);
        learn_days(&mut uneven, 1, &Shape::FLAT, |hour| if hour < 12 { 10.0 } else { 590.0 });
        assert!(even.uncertainty(0.0, 0.1) < 0.2);
        assert!(uneven.uncertainty(0.0, 0.1) > 0.5);
    }
}
