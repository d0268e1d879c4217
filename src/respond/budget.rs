//! Limits the number of suspensions and of revocations in any hour.

use crate::alert::{Action, Restraint};
use crate::config::PolicyConfig;
use crate::detect::Family;
use crate::event::{EventTime, HOUR_SECONDS, KeyId};

/// A request that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Spent {
    pub time: EventTime,
    pub action: Action,
    pub key_id: KeyId,
    pub tenant: Option<String>,
    /// The kind of the strongest evidence.
    pub family: Option<Family>,
    /// Whether it took from the part of the budget that is kept.
    pub is_kept: bool,
}

/// The part of a budget that a request takes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    Common,
    Kept,
}

/// How strongly a proposal may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warrant {
    Ordinary,
    /// The evidence is of the highest confidence.
    Certain,
    /// A person approved it.
    Approved,
}

/// The limits of one action within an hour.
#[derive(Clone, Copy, Debug)]
struct Limits {
    all: usize,
    tenant: usize,
    kept: usize,
}

impl Limits {
    fn new(all: u32, tenant: u32, kept_share: f64) -> Self {
        let kept = (f64::from(all) * kept_share).floor() as usize;
        Self { all: all as usize, tenant: tenant as usize, kept }
    }
}

/// The budget of one action within the hour, as people read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub limit: usize,
    /// The limit of the keys of one tenant.
    pub of_tenant: usize,
    pub spent: usize,
    pub left: usize,
    /// The part of `left` that is kept for the most certain incidents.
    pub kept_left: usize,
}

/// The limits, and the requests made so far, in any order.
#[derive(Clone, Debug)]
pub struct Budget {
    revocations: Limits,
    suspensions: Limits,
    spent: Vec<Spent>,
}

impl Budget {
    pub fn new(config: &PolicyConfig, spent: Vec<Spent>) -> Self {
        let kept = config.kept_for_certain;
        let (all, tenant) =
            (config.max_revocations_per_hour, config.max_revocations_per_hour_of_tenant);
        let revocations = Limits::new(all, tenant, kept);
        let (all, tenant) =
            (config.max_suspensions_per_hour, config.max_suspensions_per_hour_of_tenant);
        Self { revocations, suspensions: Limits::new(all, tenant, kept), spent }
    }

    pub fn spent(&self) -> &[Spent] {
        &self.spent
    }

    pub fn spend(&mut self, spent: Spent) {
        self.spent.push(spent);
    }

    /// Requests within the hour before `now`. One that carries a later time counts too, so that
    /// disagreeing clocks only make the budget smaller.
    pub fn last_hour(&self, now: EventTime) -> impl Iterator<Item = &Spent> {
        self.spent.iter().filter(move |it| now.seconds_since(it.time) < HOUR_SECONDS)
    }

    /// Requests for keys of `tenant` in the last hour, of any action.
    pub fn taken_by(&self, tenant: Option<&str>, now: EventTime) -> usize {
        self.last_hour(now).filter(|it| it.tenant.as_deref() == tenant).count()
    }

    /// The part of the budget from which `action` on a key of `tenant` may be requested at `now`.
    ///
    /// Somebody with many keys of a tenant can spend no more than the tenant's limit, and one of
    /// the kept part an hour. A person's approval goes beyond the tenant's limit and the breaker,
    /// never beyond the limit of all.
    ///
    /// # Errors
    /// The reason to wait.
    pub fn share(
        &self,
        action: Action,
        tenant: Option<&str>,
        warrant: Warrant,
        is_breaker_open: bool,
        now: EventTime,
    ) -> Result<Share, Restraint> {
        let limits = if action == Action::Revoke { self.revocations } else { self.suspensions };
        let recent: Vec<_> = self.last_hour(now).filter(|it| it.action == action).collect();
        let of_tenant = |it: &&&Spent| tenant.is_some() && it.tenant.as_deref() == tenant;
        let kept = recent.iter().filter(|it| it.is_kept).count();
        let is_common_left = recent.len() - kept < limits.all - limits.kept;
        let is_tenant_left = recent.iter().filter(of_tenant).count() < limits.tenant;
        let has_tenant_kept = recent.iter().filter(of_tenant).any(|it| it.is_kept);
        let is_approved = warrant == Warrant::Approved;
        if is_common_left && (is_approved || (!is_breaker_open && is_tenant_left)) {
            return Ok(Share::Common);
        }
        let may_take = is_approved || (warrant == Warrant::Certain && !has_tenant_kept);
        if may_take && kept < limits.kept {
            return Ok(Share::Kept);
        }
        Err(if is_breaker_open && !is_approved { Restraint::Breaker } else { Restraint::Budget })
    }

    /// The state of the budget of `action`.
    pub fn room(&self, action: Action, now: EventTime) -> Room {
        let limits = if action == Action::Revoke { self.revocations } else { self.suspensions };
        let recent: Vec<_> = self.last_hour(now).filter(|it| it.action == action).collect();
        let kept = recent.iter().filter(|it| it.is_kept).count();
        let common_left = (limits.all - limits.kept).saturating_sub(recent.len() - kept);
        let kept_left = limits.kept.saturating_sub(kept);
        Room {
            limit: limits.all,
            of_tenant: limits.tenant,
            spent: recent.len(),
            left: common_left + kept_left,
            kept_left,
        }
    }

    /// The first time after `now` at which a request leaves the hour.
    pub fn next_change(&self, now: EventTime) -> Option<EventTime> {
        let ends = self.spent.iter().map(|it| it.time.plus_seconds(HOUR_SECONDS));
        ends.filter(|end| *end > now).min()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;

    pub fn at(second: i64) -> EventTime {
        EventTime::from_seconds(second)
    }

    pub fn spent(second: i64, action: Action, tenant: &str) -> Spent {
        Spent {
            time: at(second),
            action,
            key_id: format!("key-{second}").into(),
            tenant: (!tenant.is_empty()).then(|| tenant.to_owned()),
            family: Some(Family::Replay),
            is_kept: false,
        }
    }

    fn config(all: u32, tenant: u32) -> PolicyConfig {
        PolicyConfig {
            max_revocations_per_hour: all,
            max_revocations_per_hour_of_tenant: tenant,
            ..PolicyConfig::default()
        }
    }

    fn revocations(all: u32, times: &[i64]) -> Budget {
        let spent = times.iter().map(|second| spent(*second, Action::Revoke, "")).collect();
        Budget::new(&config(all, all), spent)
    }

    fn has_room(budget: &Budget, second: i64) -> bool {
        budget.share(Action::Revoke, None, Warrant::Ordinary, false, at(second)).is_ok()
    }

    #[test]
    fn a_request_counts_for_an_hour() {
        let budget = revocations(2, &[100, 50]);
        assert!(!has_room(&budget, 101));
        assert!(!has_room(&budget, 3_649));
        assert!(has_room(&budget, 3_650));
        assert_eq!(budget.next_change(at(101)), Some(at(3_650)));
        assert_eq!(budget.next_change(at(5_000)), None);
    }

    #[test]
    fn the_room_of_an_action_tells_what_is_left_and_what_of_it_is_kept() {
        let mut budget = revocations(10, &[100, 150]);
        budget.spend(Spent { is_kept: true, ..spent(200, Action::Revoke, "") });
        let room = budget.room(Action::Revoke, at(300));
        let expected = Room { limit: 10, of_tenant: 10, spent: 3, left: 7, kept_left: 1 };
        assert_eq!(room, expected);
        assert_eq!(budget.room(Action::Revoke, at(3_720)).spent, 2);
        assert_eq!(revocations(1, &[9, 10]).room(Action::Revoke, at(11)).left, 0);
    }

    #[test]
    fn a_request_with_a_time_to_come_counts() {
        assert!(!has_room(&revocations(1, &[9_000]), 100));
    }

    #[test]
    fn a_budget_of_none_never_has_room() {
        assert!(!has_room(&revocations(0, &[]), 0));
    }

    #[test]
    fn suspensions_and_revocations_have_budgets_of_their_own() {
        let budget = revocations(1, &[100]);
        let share = |action| budget.share(action, None, Warrant::Ordinary, false, at(200));
        assert_eq!(share(Action::Revoke), Err(Restraint::Budget));
        assert_eq!(share(Action::Suspend), Ok(Share::Common));
    }

    #[test]
    fn no_hour_holds_more_requests_than_the_limit_in_whatever_order_they_come() {
        let mut budget = revocations(3, &[]);
        let mut granted = Vec::new();
        // Steps that do not divide an hour, forwards and backwards.
        for n in 0..2_000i64 {
            let second = (n * 7_919) % 40_000;
            if has_room(&budget, second) {
                budget.spend(spent(second, Action::Revoke, ""));
                granted.push(at(second));
            }
        }
        granted.sort_unstable();
        assert!(granted.len() > 3);
        for four in granted.windows(4) {
            assert!(four[3].seconds_since(four[0]) >= HOUR_SECONDS, "{four:?}");
        }
    }

    /// A fifth of ten is kept.
    #[test]
    fn the_kept_part_is_for_the_certain_and_one_tenant_takes_one_of_it() {
        let mut budget = Budget::new(&config(10, 2), Vec::new());
        let take = |budget: &mut Budget, tenant: &str, warrant| {
            let share = budget.share(Action::Revoke, Some(tenant), warrant, false, at(200));
            if let Ok(share) = share {
                let is_kept = share == Share::Kept;
                budget.spend(Spent { is_kept, ..spent(200, Action::Revoke, tenant) });
            }
            share
        };
        use Warrant::{Approved, Certain, Ordinary};
        // A tenant with many keys: two of the common part, one of the kept part.
        assert_eq!(take(&mut budget, "mallory", Certain), Ok(Share::Common));
        assert_eq!(take(&mut budget, "mallory", Certain), Ok(Share::Common));
        assert_eq!(take(&mut budget, "mallory", Ordinary), Err(Restraint::Budget));
        assert_eq!(take(&mut budget, "mallory", Certain), Ok(Share::Kept));
        assert_eq!(take(&mut budget, "mallory", Certain), Err(Restraint::Budget));
        assert_eq!(take(&mut budget, "mallory", Approved), Ok(Share::Common));
        for tenant in ["a", "b", "c", "d", "e"] {
            assert_eq!(take(&mut budget, tenant, Ordinary), Ok(Share::Common), "{tenant}");
        }
        assert_eq!(take(&mut budget, "f", Ordinary), Err(Restraint::Budget));
        assert_eq!(take(&mut budget, "f", Certain), Ok(Share::Kept));
        assert_eq!(take(&mut budget, "g", Approved), Err(Restraint::Budget), "never beyond all");
    }

    #[test]
    fn an_open_breaker_leaves_the_kept_part() {
        let budget = Budget::new(&config(10, 2), Vec::new());
        let share = |warrant| budget.share(Action::Revoke, Some("a"), warrant, true, at(0));
        assert_eq!(share(Warrant::Ordinary), Err(Restraint::Breaker));
        assert_eq!(share(Warrant::Certain), Ok(Share::Kept));
        assert_eq!(share(Warrant::Approved), Ok(Share::Common));
    }
}
