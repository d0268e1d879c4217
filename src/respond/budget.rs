//! Limits the number of revocations in any hour.

use crate::event::EventTime;

pub const HOUR_SECONDS: f64 = 3_600.0;

/// The times of the requests made, in any order.
#[derive(Clone, Debug)]
pub struct Budget {
    limit: usize,
    spent: Vec<EventTime>,
}

impl Budget {
    pub fn new(limit: usize, spent: Vec<EventTime>) -> Self {
        Self { limit, spent }
    }

    /// Whether one more may be requested at `now`. A request that carries a later time than
    /// `now` counts too, so that disagreeing clocks only make the budget smaller.
    pub fn has_room(&self, now: EventTime) -> bool {
        self.spent.iter().filter(|time| now.seconds_since(**time) < HOUR_SECONDS).count()
            < self.limit
    }

    /// The first time from `now` on at which there is room; `None` if the budget is 0.
    pub fn next_room(&self, now: EventTime) -> Option<EventTime> {
        let ends = self.spent.iter().map(|time| time.plus_seconds(HOUR_SECONDS));
        let ends = ends.filter(|end| *end > now && self.has_room(*end));
        if self.has_room(now) { Some(now) } else { ends.min() }
    }

    pub fn spend(&mut self, time: EventTime) {
        self.spent.push(time);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(second: i64) -> EventTime {
        EventTime::from_seconds(second)
    }

    #[test]
    fn a_request_counts_for_an_hour() {
        let budget = Budget::new(2, vec![at(100), at(50)]);
        assert!(!budget.has_room(at(101)));
        assert!(!budget.has_room(at(3_649)));
        assert!(budget.has_room(at(3_650)));
        assert_eq!(budget.next_room(at(101)), Some(at(3_650)));
        assert_eq!(budget.next_room(at(5_000)), Some(at(5_000)));
    }

    #[test]
    fn a_request_with_a_time_to_come_counts() {
        assert!(!Budget::new(1, vec![at(9_000)]).has_room(at(100)));
    }

    #[test]
    fn a_budget_of_none_never_has_room() {
        let budget = Budget::new(0, Vec::new());
        assert!(!budget.has_room(at(0)));
        assert_eq!(budget.next_room(at(0)), None);
    }

    #[test]
    fn no_hour_holds_more_requests_than_the_limit_in_whatever_order_they_come() {
        let mut budget = Budget::new(3, Vec::new());
        let mut granted = Vec::new();
        // Steps that do not divide an hour, forwards and backwards.
        for n in 0..2_000i64 {
            let time = at((n * 7_919) % 40_000);
            if budget.has_room(time) {
                budget.spend(time);
                granted.push(time);
            }
        }
        granted.sort_unstable();
        assert!(granted.len() > 3);
        for four in granted.windows(4) {
            assert!(four[3].seconds_since(four[0]) >= HOUR_SECONDS, "{four:?}");
        }
    }
}
