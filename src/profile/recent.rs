//! A bounded memory of recent things, by hash.

use std::collections::HashMap;

use crate::event::EventTime;

/// Remembers values for at least `span_seconds` of event time, unless more than
/// `capacity` arrive within it; then the older half is forgotten first.
///
/// Two generations: entries go into the young one; when that is full or old, it
/// becomes the old one and the former old one is dropped whole. Bounded by twice
/// `capacity` entries, with no per-entry expiry.
#[derive(Debug)]
pub struct Recent<V> {
    young: HashMap<u64, V, foldhash::fast::FixedState>,
    old: HashMap<u64, V, foldhash::fast::FixedState>,
    young_since: EventTime,
    span_seconds: f64,
    capacity: usize,
}

impl<V: Copy> Recent<V> {
    pub fn new(span_seconds: f64, capacity: usize) -> Self {
        Self {
            young: HashMap::default(),
            old: HashMap::default(),
            young_since: EventTime::default(),
            span_seconds,
            capacity,
        }
    }

    /// Remembers `value` under `key` unless something is there already, which is then returned.
    ///
    /// `watermark` is the event time up to which the log has come; it must not go back.
    pub fn first_or_insert(&mut self, key: u64, value: V, watermark: EventTime) -> Option<V> {
        let age = watermark.seconds_since(self.young_since);
        if age >= self.span_seconds || self.young.len() >= self.capacity {
            self.old = std::mem::take(&mut self.young);
            self.young_since = watermark;
        }
        if let Some(first) = self.young.get(&key).or_else(|| self.old.get(&key)) {
            return Some(*first);
        }
        self.young.insert(key, value);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_for_the_span_and_forgets_after_two() {
        let mut recent = Recent::new(100.0, 1_000);
        let at = EventTime::from_seconds;
        assert_eq!(recent.first_or_insert(1, 'a', at(1_000)), None);
        assert_eq!(recent.first_or_insert(1, 'b', at(1_099)), Some('a'));
        assert_eq!(recent.first_or_insert(1, 'c', at(1_101)), Some('a'));
        assert_eq!(recent.first_or_insert(1, 'd', at(1_202)), None);
    }

    #[test]
    fn stays_within_twice_its_capacity() {
        let mut recent = Recent::new(1e9, 10);
        for key in 0..1_000 {
            recent.first_or_insert(key, (), EventTime::from_seconds(1));
            assert!(recent.young.len() + recent.old.len() <= 20);
        }
    }
}
