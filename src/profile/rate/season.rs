//! The hours of the week: what a key does at each, and what others do.

use super::{DAY, HOUR};

/// Hours of the day, UTC, on weekdays and then on weekends.
pub const SEASONS: usize = 48;
const WEEKDAYS: usize = 7;

/// What a season learned halves in this time.
const HALF_LIFE_HOURS: f32 = 14.0 * 24.0;
/// What is borrowed weighs as much as this many hours of a season's own history.
const SHRINKAGE_HOURS: f32 = 1.0;
/// A day of the week departs from its kind of day only on the word of so many events.
const WEEKDAY_PRIOR_EVENTS: f32 = 500.0;
const WEEKDAY_BOUNDS: (f32, f32) = (0.25, 4.0);
/// What a weekday was counts for less each week.
const WEEK_DECAY: f32 = 0.8;
/// Relative variance of an hour's rate around what is borrowed for it, of a key of which
/// nothing is known: between flat and office hours.
const PRIOR_SPREAD: f32 = 0.7;
/// ... which weighs as much as this many seasons.
const PRIOR_SPREAD_SEASONS: f32 = 3.0;
/// Relative variance of a season's mean that stays however long it is known.
const NEVER_SURE: f32 = 0.04;

/// Decayed counts and the hours in which they were made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gamma {
    pub events: f32,
    pub hours: f32,
}

impl Gamma {
    /// Events an hour; `prior` counts like [`SHRINKAGE_HOURS`] of own history.
    fn shrunk_to(self, prior: f32) -> f32 {
        (self.events + SHRINKAGE_HOURS * prior) / (self.hours + SHRINKAGE_HOURS)
    }

    fn add(&mut self, events: f32, hours: f32) {
        let decay = (-hours / HALF_LIFE_HOURS).exp2();
        self.events = self.events * decay + events;
        self.hours = self.hours * decay + hours;
    }
}

/// How the seasons of others compare with their mean: what a young key borrows.
#[derive(Clone, Copy, Debug)]
pub struct Shape(pub [f32; SEASONS]);

impl Shape {
    pub const FLAT: Self = Self([1.0; SEASONS]);
}

/// The expected rate at each hour of the week: a Gamma posterior for each hour of the day,
/// weekdays and weekends apart, shrunk towards the same hour on the other kind of day, and
/// that towards the overall rate in the shape that others have; times a factor for the day
/// of the week.
#[derive(Clone, Debug)]
pub(super) struct Seasons {
    own: [Gamma; SEASONS],
    /// Plain events and hours.
    pub overall: Gamma,
    /// `overall.hours`, each weighted with the shape it had.
    shaped_hours: f32,
    /// Events and expected events by day of the week, Monday first, of days that are over.
    weekdays: [(f32, f32); WEEKDAYS],
    /// The same of the present day, and its number since the epoch.
    today: (f32, f32),
    day: i64,
    /// Relative variance of seasons around what is borrowed for them, as far as known.
    spread: f32,
}

impl Default for Seasons {
    fn default() -> Self {
        Self {
            own: [Gamma::default(); SEASONS],
            overall: Gamma::default(),
            shaped_hours: 0.0,
            weekdays: [(0.0, 0.0); WEEKDAYS],
            today: (0.0, 0.0),
            day: 0,
            spread: PRIOR_SPREAD,
        }
    }
}

impl Seasons {
    /// Events a second at `second`.
    pub fn rate(&self, second: i64, shape: &Shape) -> f64 {
        f64::from(self.hourly(season_of(second), shape) * self.weekday_factor(second)) / HOUR as f64
    }

    fn hourly(&self, season: usize, shape: &Shape) -> f32 {
        let other = other_day(season);
        let same_hour = self.own[other].shrunk_to(self.borrowed(other, shape));
        let prior = if self.own[other].hours > 0.0 {
            // What the hour is on the other kind of day says more than what others do.
            same_hour
        } else {
            self.borrowed(season, shape)
        };
        self.own[season].shrunk_to(prior)
    }

    /// Events an hour that others' shape makes of the overall rate. Never below the plain
    /// mean: that others sleep does not make a key that works suspicious.
    fn borrowed(&self, season: usize, shape: &Shape) -> f32 {
        let plain = (self.overall.events + 0.1) / (self.overall.hours + 0.1);
        let shaped = (self.overall.events + 0.1) / (self.shaped_hours + 0.1);
        plain.max(shaped * shape.0[season])
    }

    fn weekday_factor(&self, second: i64) -> f32 {
        let (events, expected) = self.weekdays[weekday_of(second)];
        let factor = (events + WEEKDAY_PRIOR_EVENTS) / (expected + WEEKDAY_PRIOR_EVENTS);
        factor.clamp(WEEKDAY_BOUNDS.0, WEEKDAY_BOUNDS.1)
    }

    /// History that tells about the season of `second`. The same hour on the other kind of
    /// day tells half as much.
    pub fn known(&self, second: i64) -> Gamma {
        let season = season_of(second);
        let (own, other) = (self.own[season], self.own[other_day(season)]);
        Gamma { events: own.events + 0.5 * other.events, hours: own.hours + 0.5 * other.hours }
    }

    /// Squared relative error of a season's mean: unsure while the season is new, as much as
    /// this key's hours differ, and never quite sure.
    pub fn uncertainty(&self, known_hours: f32) -> f32 {
        NEVER_SURE + self.spread / (1.0 + known_hours)
    }

    /// Teaches `events` in `length` seconds from `second`, all within one hour.
    pub fn learn(&mut self, second: i64, length: i64, events: f32, shape: &Shape) {
        let hours = length as f32 / HOUR as f32;
        let season = season_of(second);
        let expected = self.hourly(season, shape) * hours;
        self.end_day_before(second);
        self.today = (self.today.0 + events, self.today.1 + expected);
        self.own[season].add(events, hours);
        self.overall.add(events, hours);
        let decay = (-hours / HALF_LIFE_HOURS).exp2();
        self.shaped_hours = self.shaped_hours * decay + hours * shape.0[season];
    }

    /// A day speaks for its weekday when it is over, and not of itself.
    fn end_day_before(&mut self, second: i64) {
        let day = second.div_euclid(DAY);
        if day <= self.day {
            return;
        }
        let (events, expected) = std::mem::take(&mut self.today);
        let events = events.clamp(WEEKDAY_BOUNDS.0 * expected, WEEKDAY_BOUNDS.1 * expected);
        let weekday = &mut self.weekdays[weekday_of(self.day * DAY)];
        *weekday = (weekday.0 * WEEK_DECAY + events, weekday.1 * WEEK_DECAY + expected);
        self.day = day;
    }

    /// Takes back `events` of the hour that began at `second`.
    pub fn unlearn(&mut self, second: i64, events: f32) {
        for known in [&mut self.own[season_of(second)], &mut self.overall] {
            known.events = (known.events - events).max(0.0);
        }
        self.today.0 = (self.today.0 - events).max(0.0);
    }

    /// Measures anew how much this key's hours differ. Done once an hour: it looks at all.
    pub fn measure_spread(&mut self) {
        let mean = (self.overall.events / self.overall.hours.max(0.1)).max(0.1);
        let (mut squares, mut seasons) =
            (PRIOR_SPREAD * PRIOR_SPREAD_SEASONS, PRIOR_SPREAD_SEASONS);
        for known in self.own.iter().filter(|known| known.hours >= 0.5) {
            let rate = known.events / known.hours;
            // Counting alone makes rates differ by their Poisson variance.
            let noise = 1.0 / known.events.max(1.0);
            squares += ((rate / mean - 1.0).powi(2) - noise).max(0.0);
            seasons += 1.0;
        }
        self.spread = (squares / seasons).min(2.0);
    }
}

/// The same hour on a weekend for a weekday, and the reverse.
const fn other_day(season: usize) -> usize {
    (season + 24) % SEASONS
}

/// 1970-01-01 was a Thursday; Monday is 0.
const fn weekday_of(second: i64) -> usize {
    (second.div_euclid(DAY) + 3).rem_euclid(7) as usize
}

/// Hour of the day, UTC; weekends apart.
pub fn season_of(second: i64) -> usize {
    let hour = (second.rem_euclid(DAY) / HOUR) as usize;
    if weekday_of(second) >= 5 { 24 + hour } else { hour }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONDAY: i64 = 1_767_571_200;

    #[test]
    fn weekends_are_a_season_of_their_own() {
        assert_eq!(season_of(MONDAY), 0);
        assert_eq!(season_of(MONDAY + 5 * DAY + 3 * HOUR), 27);
        assert_eq!(season_of(MONDAY - 1), 24 + 23);
    }

    fn learn_days(seasons: &mut Seasons, days: i64, shape: &Shape, rate: impl Fn(i64) -> f32) {
        for hour in 0..days * 24 {
            seasons.learn(MONDAY + hour * HOUR, HOUR, rate(hour), shape);
        }
        seasons.measure_spread();
    }

    #[test]
    fn a_weak_day_of_the_week_is_learned() {
        let mut seasons = Seasons::default();
        let quiet_mondays = |hour: i64| if hour / 24 % 7 == 0 { 100.0 } else { 400.0 };
        learn_days(&mut seasons, 28, &Shape::FLAT, quiet_mondays);
        let at = |day: i64| seasons.rate(MONDAY + (28 + day) * DAY, &Shape::FLAT) * HOUR as f64;
        assert!(at(0) < 200.0, "Monday: {}", at(0));
        assert!(at(1) > 330.0, "Tuesday: {}", at(1));
    }

    #[test]
    fn a_young_key_borrows_the_day_of_others_and_never_less_than_its_mean() {
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
    fn an_even_key_is_soon_sure_of_hours_it_has_not_seen() {
        let (mut even, mut uneven) = (Seasons::default(), Seasons::default());
        learn_days(&mut even, 1, &Shape::FLAT, |_| 300.0);
        learn_days(&mut uneven, 1, &Shape::FLAT, |hour| if hour < 12 { 10.0 } else { 590.0 });
        assert!(even.uncertainty(0.0) < 0.2);
        assert!(uneven.uncertainty(0.0) > 0.5);
    }
}
