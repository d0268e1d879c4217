//! Computes the suspensions and revocations that a whole run of alerts leads to, for backtest and
//! diff. Nobody approves anything in a run, and no key is looked up: it knows neither approvals nor
//! the share of keys in use.

use std::collections::HashMap;

use crate::alert::{Action, Alert, AlertType};
use crate::decide::quiet_seconds;
use crate::event::EventTime;

use super::budget::Budget;
use super::decision::{Approval, Rules, decide, spent};

/// A suspension or revocation that would have been requested.
#[derive(Clone, Debug, PartialEq)]
pub struct Granted {
    pub time: EventTime,
    /// Index of the proposal among the alerts of the run.
    pub proposal: usize,
    pub alert: Alert,
}

/// Runs the alerts of one run through [`decide`] in the order of their event times, as if they were
/// stored as they happen. `quiet_close_seconds` is the policy's: an incident resolves after that
/// time without evidence.
///
/// A proposal that waits for the budget is granted once the budget has room, if its incident is
/// still open and the run has not ended.
pub fn replay(alerts: &[Alert], rules: &Rules, quiet_close_seconds: f64) -> Vec<Granted> {
    if rules.is_dry_run() {
        return Vec::new();
    }
    let time = |alert: &Alert| event_time(alert, quiet_close_seconds);
    let mut order: Vec<usize> = (0..alerts.len()).collect();
    order.sort_by_key(|place| time(&alerts[*place]));
    let mut run = Run {
        alerts,
        rules,
        budget: rules.budget(Vec::new()),
        proposals: HashMap::new(),
        requested: HashMap::new(),
        now: EventTime::default(),
        granted: Vec::new(),
    };
    for place in order {
        run.wait_until(time(&alerts[place]));
        run.take(place);
    }
    run.granted
}

/// All alerts of the run, with each request behind its proposal.
pub fn with_requests(alerts: Vec<Alert>, granted: Vec<Granted>) -> Vec<Alert> {
    let requests = granted.into_iter().map(|granted| (granted.proposal, granted.alert));
    let mut requests: HashMap<usize, Alert> = requests.collect();
    let each = alerts.into_iter().enumerate();
    each.flat_map(|(place, alert)| [Some(alert), requests.remove(&place)]).flatten().collect()
}

/// The time at which an alert becomes known. A resolved alert carries the time of its last
/// evidence, but is made only after the quiet time.
fn event_time(alert: &Alert, quiet_close_seconds: f64) -> EventTime {
    if alert.alert_type == AlertType::Resolved {
        let quiet = quiet_seconds(&alert.detectors, quiet_close_seconds);
        return alert.last_event_time.plus_seconds(quiet);
    }
    alert.detected_event_time
}

struct Run<'a> {
    alerts: &'a [Alert],
    rules: &'a Rules,
    budget: Budget,
    /// The latest revision of each open incident without a request.
    proposals: HashMap<&'a str, usize>,
    /// The strongest request of each incident.
    requested: HashMap<&'a str, Action>,
    now: EventTime,
    granted: Vec<Granted>,
}

impl Run<'_> {
    /// Grants waiting proposals at the times when the budget has room.
    fn wait_until(&mut self, time: EventTime) {
        while !self.proposals.is_empty()
            && let Some(moment) = self.budget.next_change(self.now)
            && moment < time
        {
            self.now = moment;
            while self.grant() {}
        }
        self.now = self.now.max(time);
    }

    fn take(&mut self, place: usize) {
        let alert = &self.alerts[place];
        let is_asked_for =
            self.requested.get(alert.id.as_str()).is_some_and(|it| *it >= alert.action);
        if is_asked_for || !self.rules.allow(alert) {
            self.proposals.remove(alert.id.as_str());
            return;
        }
        self.proposals.insert(&alert.id, place);
        self.grant();
    }

    fn grant(&mut self) -> bool {
        let proposals = self.proposals.values().map(|place| &self.alerts[*place]);
        let breakers = self.rules.breakers(&self.budget, None, self.now);
        let approval = |_: &Alert| Approval::NotNeeded;
        let decision = decide(proposals, self.rules, &self.budget, &breakers, approval, self.now);
        let Some(grant) = decision.grant else { return false };
        let alert = grant.proposal;
        let Some(proposal) = self.proposals.remove(alert.id.as_str()) else { return false };
        self.requested.insert(&alert.id, alert.action);
        self.budget.spend(spent(&grant, self.now));
        let request = self.rules.request(alert, self.now);
        self.granted.push(Granted { time: self.now, proposal, alert: request });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::decision::tests::{at, proposal, rules};
    use super::*;

    const QUIET: f64 = 1_800.0;

    fn resolved(of: &Alert) -> Alert {
        Alert { alert_type: AlertType::Resolved, revision: of.revision + 2, ..of.clone() }
    }

    fn updated(of: &Alert, second: i64) -> Alert {
        Alert {
            alert_type: AlertType::Updated,
            revision: of.revision + 2,
            detected_event_time: at(second),
            last_event_time: at(second),
            ..of.clone()
        }
    }

    fn told(alerts: &[Alert], limit: u32) -> Vec<(String, u32, EventTime)> {
        let granted = replay(alerts, &rules(limit), QUIET).into_iter();
        granted.map(|granted| (granted.alert.id, granted.alert.revision, granted.time)).collect()
    }

    #[test]
    fn requests_follow_event_time_and_not_the_order_of_the_files() {
        let alerts = [proposal("late", 200), proposal("early", 100)];
        assert_eq!(told(&alerts, 1), [("inc_early".into(), 2, at(100))]);
        assert_eq!(told(&alerts, 2).len(), 2);
    }

    #[test]
    fn an_incident_is_requested_once() {
        let first = proposal("key", 100);
        let alerts = [updated(&first, 150), updated(&first, 9_000), first];
        assert_eq!(told(&alerts, 5), [("inc_key".into(), 2, at(100))]);
    }

    #[test]
    fn a_proposal_that_waits_is_granted_when_there_is_budget_by_its_latest_revision() {
        let (first, second) = (proposal("a", 100), proposal("b", 200));
        let goes_on = updated(&second, 3_000);
        let end = Alert { dry_run: true, ..proposal("other", 9_000) };
        let alerts = [first, second, goes_on, end];
        let expected = [("inc_a".into(), 2, at(100)), ("inc_b".into(), 4, at(3_700))];
        assert_eq!(told(&alerts, 1), expected);
    }

    #[test]
    fn a_proposal_that_waits_is_dropped_when_its_incident_closes_or_the_run_ends() {
        let (first, second) = (proposal("a", 100), proposal("b", 200));
        let alerts = [first.clone(), second.clone(), resolved(&second), proposal("c", 9_000)];
        let expected = [("inc_a".into(), 2, at(100)), ("inc_c".into(), 2, at(9_000))];
        assert_eq!(told(&alerts, 1), expected);
        assert_eq!(told(&[first, second], 1).len(), 1);
    }

    #[test]
    fn a_request_stands_behind_its_proposal() {
        let alerts = vec![proposal("a", 100), proposal("b", 200), proposal("c", 300)];
        let granted = replay(&alerts, &rules(2), QUIET);
        let all = with_requests(alerts, granted);
        let kinds: Vec<_> = all.iter().map(|alert| (alert.id.as_str(), alert.revision)).collect();
        assert_eq!(kinds, [("inc_a", 1), ("inc_a", 2), ("inc_b", 1), ("inc_b", 2), ("inc_c", 1)]);
    }
}
