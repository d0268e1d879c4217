//! Holds what was done to keys: what Keywatch asked of their store, and what became of it.

use foldhash::HashMap;

use crate::event::{EventTime, KeyId};

/// A step that ends the use of a key, or begins it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeedKind {
    /// Keywatch requested a suspension or a revocation. Whether it takes effect is not known.
    Asked,
    Suspended,
    Revoked,
    Rotated,
    Resumed,
}

impl DeedKind {
    /// The kind with this name in the table of key events.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "suspended" => Self::Suspended,
            "revoked" => Self::Revoked,
            "rotated" => Self::Rotated,
            "resumed" => Self::Resumed,
            _ => return None,
        })
    }

    /// The step as a participle.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
            Self::Rotated => "rotated",
            Self::Resumed => "resumed",
        }
    }
}

/// One step. The end of a suspension is a step in the future.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    pub key_id: KeyId,
    pub time: EventTime,
    pub kind: DeedKind,
}

/// Steps that are kept of one key: the latest.
const MOST: usize = 16;

/// The steps of all keys.
#[derive(Clone, Debug, Default)]
pub struct Deeds(HashMap<KeyId, Vec<(EventTime, DeedKind)>>);

impl Deeds {
    /// Adds a step; one that is known changes nothing.
    pub fn learn(&mut self, deed: &Deed) {
        let steps = self.0.entry(deed.key_id.clone()).or_default();
        let step = (deed.time, deed.kind);
        if let Err(place) = steps.binary_search(&step) {
            steps.insert(place, step);
        }
        if steps.len() > MOST {
            steps.remove(0);
        }
    }

    /// The suspension or revocation that is known to be in force at `time`, and since when.
    pub fn ended(&self, key_id: &KeyId, time: EventTime) -> Option<(DeedKind, EventTime)> {
        let known = |step: &&(EventTime, DeedKind)| step.1 != DeedKind::Asked;
        let (since, kind) = *self.until(key_id, time).rev().find(known)?;
        matches!(kind, DeedKind::Suspended | DeedKind::Revoked).then_some((kind, since))
    }

    /// Whether the store may refuse the key at `time` because of what was asked or done. Refusals
    /// then follow from it, and are no evidence.
    pub fn explain_refusal(&self, key_id: &KeyId, time: EventTime) -> bool {
        self.until(key_id, time).next_back().is_some_and(|(_, kind)| *kind != DeedKind::Resumed)
    }

    fn until(
        &self,
        key_id: &KeyId,
        time: EventTime,
    ) -> impl DoubleEndedIterator<Item = &(EventTime, DeedKind)> {
        // Most installations have none, and each refused request asks.
        let steps = if self.0.is_empty() { None } else { self.0.get(key_id) };
        let steps = steps.map_or(&[][..], Vec::as_slice);
        steps[..steps.partition_point(|(at, _)| *at <= time)].iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deeds(steps: &[(i64, DeedKind)]) -> Deeds {
        let mut deeds = Deeds::default();
        for (second, kind) in steps {
            let time = EventTime::from_seconds(*second);
            deeds.learn(&Deed { key_id: "key".into(), time, kind: *kind });
        }
        deeds
    }

    #[test]
    fn a_key_is_ended_from_its_confirmation_to_its_resumption() {
        use DeedKind::{Asked, Resumed, Suspended};
        let deeds = deeds(&[(500, Resumed), (100, Asked), (120, Suspended), (120, Suspended)]);
        let at = EventTime::from_seconds;
        let ended = |second| deeds.ended(&"key".into(), at(second));
        assert_eq!(ended(119), None);
        assert_eq!(ended(120), Some((Suspended, at(120))));
        assert_eq!(ended(500), None);
        let explained = |second| deeds.explain_refusal(&"key".into(), at(second));
        assert_eq!([99, 100, 120, 499, 500].map(explained), [false, true, true, true, false]);
        assert!(!deeds.explain_refusal(&"other".into(), at(200)));
    }
}
