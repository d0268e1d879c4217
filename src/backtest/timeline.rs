//! Counts requests over time in bounded memory, however long the log is.

use serde::Serialize;

use crate::event::EventTime;

/// The largest number of bins that are not empty; beyond it the width of bins doubles.
const MAX_BINS: usize = 96;

/// Counts in bins of equal width. Empty bins are not kept, so an event with a wrong clock costs one
/// bin and does not coarsen the others.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    bin_seconds: u32,
    /// Index of the bin since the epoch, and its count; in ascending order.
    bins: Vec<(i64, u32)>,
}

/// One bin of a timeline, as reports show it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    pub start: EventTime,
    pub requests: u32,
}

impl Timeline {
    pub fn new(bin_seconds: u32) -> Self {
        Self { bin_seconds: bin_seconds.max(1), bins: Vec::new() }
    }

    /// A timeline with the narrowest readable bins of which `MAX_BINS` cover `seconds`.
    pub fn spanning(seconds: f64) -> Self {
        const WIDTHS: [u32; 16] =
            [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 86_400];
        let fits = |width: &u32| f64::from(*width) * (MAX_BINS - 1) as f64 >= seconds;
        Self::new(WIDTHS.into_iter().find(fits).unwrap_or(86_400))
    }

    pub fn add(&mut self, time: EventTime) {
        let number = time.as_micros().div_euclid(1_000_000 * i64::from(self.bin_seconds));
        // Logs are nearly in order, so the last bin is nearly always the right one.
        match self.bins.last_mut() {
            Some((last, count)) if *last == number => *count = count.saturating_add(1),
            _ => self.add_elsewhere(number),
        }
    }

    fn add_elsewhere(&mut self, number: i64) {
        match self.bins.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(place) => self.bins[place].1 = self.bins[place].1.saturating_add(1),
            Err(place) => self.bins.insert(place, (number, 1)),
        }
        while self.bins.len() > MAX_BINS {
            self.widen();
        }
    }

    fn widen(&mut self) {
        self.bin_seconds = self.bin_seconds.saturating_mul(2);
        for (number, _) in &mut self.bins {
            *number = number.div_euclid(2);
        }
        self.bins.dedup_by(|(number, count), (kept, sum)| {
            let same = number == kept;
            if same {
                *sum = sum.saturating_add(*count);
            }
            same
        });
    }

    pub fn bin_seconds(&self) -> u32 {
        self.bin_seconds
    }

    pub fn bins(&self) -> Vec<Bin> {
        let start = |number: i64| EventTime::from_seconds(number * i64::from(self.bin_seconds));
        self.bins.iter().map(|&(n, requests)| Bin { start: start(n), requests }).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_event_is_in_one_bin_whatever_the_order(
            seconds in prop::collection::vec(prop_oneof![0i64..1_000_000, 4_000_000_000i64..4_100_000_000], 0..400)
        ) {
            let mut timeline = Timeline::new(60);
            seconds.iter().for_each(|second| timeline.add(EventTime::from_seconds(*second)));
            let bins = timeline.bins();
            prop_assert!(bins.len() <= MAX_BINS);
            prop_assert!(bins.is_sorted_by(|a, b| a.start < b.start));
            for bin in bins {
                let end = bin.start.plus_seconds(f64::from(timeline.bin_seconds()));
                let inside = |s: &&i64| (bin.start..end).contains(&EventTime::from_seconds(**s));
                prop_assert_eq!(seconds.iter().filter(inside).count(), bin.requests as usize);
            }
        }
    }

    #[test]
    fn a_wrong_clock_does_not_coarsen_the_rest() {
        let mut timeline = Timeline::spanning(3_600.0);
        for second in [0, 60, 120, 4_100_000_000] {
            timeline.add(EventTime::from_seconds(second));
        }
        assert_eq!((timeline.bin_seconds(), timeline.bins().len()), (60, 4));
    }
}
