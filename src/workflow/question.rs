//! Bounds how often the registered owners of keys are asked "Was it you?".
//!
//! Whoever holds a stolen key, or can register keys in other people's names, can cause incidents.
//! Without bounds they could make Keywatch flood a mailbox.

use crate::event::{DAY_SECONDS, EventTime, HOUR_SECONDS};

/// One question that was put to an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub incident: String,
    pub key_id: String,
    pub owner: String,
    pub at: EventTime,
}

/// The use of a key that an owner is asked about. It holds nothing secret. The client names itself,
/// so that its text may be an attacker's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// `Berlin, DE`; empty when unknown.
    pub place: String,
    /// The name of the network, or its number; empty when unknown.
    pub network: String,
    pub client: String,
    pub time: EventTime,
}

/// The most questions of all processes together.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub of_owner_per_day: u32,
    pub of_key_per_day: u32,
    pub per_hour: u32,
}

impl Limits {
    /// The limit that one more question would pass. `earlier` are the questions of the last day.
    pub fn reached(
        &self,
        earlier: &[Asked],
        owner: &str,
        key_id: &str,
        now: EventTime,
    ) -> Option<&'static str> {
        let within = |seconds: f64| {
            let since = now.plus_seconds(-seconds);
            earlier.iter().filter(move |asked| asked.at > since)
        };
        let reaches = |count: usize, most: u32| count >= most as usize;
        if reaches(within(HOUR_SECONDS).count(), self.per_hour) {
            return Some("owner.max_per_hour");
        }
        let is_of_owner = |asked: &&Asked| one_mailbox(&asked.owner) == one_mailbox(owner);
        if reaches(within(DAY_SECONDS).filter(is_of_owner).count(), self.of_owner_per_day) {
            return Some("owner.max_per_owner_per_day");
        }
        let is_of_key = |asked: &&Asked| asked.key_id == key_id;
        let count = within(DAY_SECONDS).filter(is_of_key).count();
        reaches(count, self.of_key_per_day).then_some("owner.max_per_key_per_day")
    }
}

/// The mailbox behind a spelling of its address: many servers ignore case, and what follows a plus.
fn one_mailbox(owner: &str) -> String {
    let owner = owner.trim().to_lowercase();
    let Some((local, domain)) = owner.rsplit_once('@') else { return owner };
    let local = local.split_once('+').map_or(local, |(local, _)| local);
    format!("{local}@{domain}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { of_owner_per_day: 3, of_key_per_day: 1, per_hour: 5 };

    fn asked(owner: &str, key_id: &str, second: i64) -> Asked {
        let at = EventTime::from_seconds(second);
        Asked { incident: format!("inc_{second}"), key_id: key_id.into(), owner: owner.into(), at }
    }

    fn reached(earlier: &[Asked], owner: &str, key_id: &str, second: i64) -> Option<&'static str> {
        LIMITS.reached(earlier, owner, key_id, EventTime::from_seconds(second))
    }

    #[test]
    fn an_owner_is_asked_so_often_a_day_however_the_address_is_spelled() {
        let spellings = ["ann@example.com", "Ann@Example.com", "ann+keys@example.com"];
        let earlier: Vec<_> =
            spellings.iter().zip(0..).map(|(it, n)| asked(it, "k", n * 4_000)).collect();
        let owner = Some("owner.max_per_owner_per_day");
        assert_eq!(reached(&earlier[..2], "ann@example.com", "other", 20_000), None);
        assert_eq!(reached(&earlier, "ann+x@example.com", "other", 20_000), owner);
        assert_eq!(reached(&earlier, "bob@example.com", "other", 20_000), None);
        assert_eq!(reached(&earlier, "ann@example.com", "other", 86_500), None, "a day later");
    }

    #[test]
    fn a_key_and_the_installation_have_limits_of_their_own() {
        let earlier = [asked("ann@example.com", "k", 0)];
        assert_eq!(
            reached(&earlier, "bob@example.com", "k", 10),
            Some("owner.max_per_key_per_day")
        );
        let many: Vec<_> =
            (0..5).map(|n| asked(&format!("{n}@example.com"), &n.to_string(), n)).collect();
        assert_eq!(reached(&many, "new@example.com", "new", 10), Some("owner.max_per_hour"));
        assert_eq!(reached(&many, "new@example.com", "new", 4_000), None);
    }

    proptest! {
        /// However incidents come, no day has more questions to an owner or about a key.
        #[test]
        fn no_day_has_more_questions_than_the_limits_allow(
            incidents in prop::collection::vec((0u8..4, 0u8..6, 0i64..40_000), 0..80),
        ) {
            let (mut now, mut all) = (0, Vec::<Asked>::new());
            for (owner, key, pause) in incidents {
                now += pause;
                let (owner, key) = (format!("o{owner}@example.com"), format!("k{key}"));
                if reached(&all, &owner, &key, now).is_none() {
                    all.push(asked(&owner, &key, now));
                }
            }
            for last in &all {
                let day = all.iter().filter(|it| {
                    it.at <= last.at && it.at > last.at.plus_seconds(-DAY_SECONDS)
                });
                let of = |is: &dyn Fn(&Asked) -> bool| day.clone().filter(|it| is(it)).count();
                prop_assert!(of(&|it| it.owner == last.owner) <= 3);
                prop_assert!(of(&|it| it.key_id == last.key_id) <= 1);
            }
        }
    }
}
