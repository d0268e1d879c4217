//! Counts optional fields that could not be used.

/// The number of unusable optional fields, by the field's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut(Vec<(&'static str, u64)>);

impl LeftOut {
    pub(super) fn count(&mut self, field: &'static str) {
        self.add(field, 1);
    }

    fn add(&mut self, field: &'static str, number: u64) {
        match self.0.iter_mut().find(|(known, _)| *known == field) {
            Some((_, count)) => *count += number,
            None => self.0.push((field, number)),
        }
    }

    /// Adds the counts of another part of the log.
    pub fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(field, number)| self.add(field, number));
    }

    /// The fields with their numbers, in the order in which they first occurred.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().copied()
    }

    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, number)| number).sum()
    }
}
