//! Holds what was done to keys: what Keywatch asked of their store, and what became of it.

use foldhash::HashMap;

use crate::event::{EventTime, KeyId};

/// A step that ends the use of a key, or begins it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeedKind {
    /// Keywatch requested a suspension with a planned end. Whether it takes effect is not known.
    Asked,
    /// Keywatch requested a revocation, or a suspension without a planned end.
    AskedForGood,
    Suspended,
    Revoked,
    Rotated,
    Resumed,
    /// The planned end of a suspension that Keywatch requested. It undoes nothing that was done or
    /// asked for good since the request.
    Lapsed,
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
            Self::Asked | Self::AskedForGood => "asked",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
            Self::Rotated => "rotated",
            Self::Resumed => "resumed",
            Self::Lapsed => "lapsed",
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
        self.standing(key_id, time).ended
    }

    /// Whether the store may refuse the key at `time` because of what was asked or done. Refusals
    /// then follow from it, and are no evidence.
    pub fn explain_refusal(&self, key_id: &KeyId, time: EventTime) -> bool {
        self.standing(key_id, time).may_refuse
    }

    fn standing(&self, key_id: &KeyId, time: EventTime) -> Standing {
        let mut standing = Standing::default();
        self.until(key_id, time).for_each(|(at, kind)| standing.take(*kind, *at));
        standing
    }

    fn until(
        &self,
        key_id: &KeyId,
        time: EventTime,
    ) -> impl Iterator<Item = &(EventTime, DeedKind)> {
        // Most installations have none, and each refused request asks.
        let steps = if self.0.is_empty() { None } else { self.0.get(key_id) };
        let steps = steps.map_or(&[][..], Vec::as_slice);
        steps[..steps.partition_point(|(at, _)| *at <= time)].iter()
    }
}

/// How a key stands after the steps so far.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    ended: Option<(DeedKind, EventTime)>,
    may_refuse: bool,
    is_revoked: bool,
    is_asked_for_good: bool,
}

impl Standing {
    fn take(&mut self, kind: DeedKind, at: EventTime) {
        match kind {
            DeedKind::Lapsed if self.is_revoked => return,
            // Whether the request took effect is not known: the key may be refused, or in use.
            DeedKind::Lapsed if self.is_asked_for_good => return self.ended = None,
            DeedKind::Lapsed | DeedKind::Resumed => return *self = Self::default(),
            DeedKind::Asked => self.is_asked_for_good = false,
            DeedKind::AskedForGood => self.is_asked_for_good = true,
            DeedKind::Suspended => self.ended = Some((kind, at)),
            DeedKind::Revoked => (self.ended, self.is_revoked) = (Some((kind, at)), true),
            DeedKind::Rotated => self.ended = None,
        }
        self.may_refuse = true;
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

    #[test]
    fn the_planned_end_of_a_suspension_undoes_no_revocation() {
        use DeedKind::{Asked, AskedForGood, Lapsed, Resumed, Revoked, Suspended};
        let (at, hour) = (EventTime::from_seconds, 3_600);
        let suspended = [(0, Asked), (10, Suspended), (24 * hour, Lapsed)];
        let key = "key".into();
        let lapsed = deeds(&suspended);
        assert_eq!(lapsed.ended(&key, at(23 * hour)), Some((Suspended, at(10))));
        assert_eq!(lapsed.ended(&key, at(25 * hour)), None);
        assert!(!lapsed.explain_refusal(&key, at(25 * hour)));

        let revoked = deeds(&[&suspended[..], &[(hour, Revoked)]].concat());
        assert_eq!(revoked.ended(&key, at(25 * hour)), Some((Revoked, at(hour))));
        let asked = deeds(&[&suspended[..], &[(hour, AskedForGood)]].concat());
        assert_eq!(asked.ended(&key, at(25 * hour)), None);
        assert!(asked.explain_refusal(&key, at(25 * hour)));
        // The store says that the key is in use again: that counts.
        let resumed = deeds(&[&suspended[..], &[(hour, Revoked), (2 * hour, Resumed)]].concat());
        assert_eq!(resumed.ended(&key, at(3 * hour)), None);
        assert_eq!(resumed.ended(&key, at(25 * hour)), None);
    }
}
