//! Holds what people did to incidents, so that lanes need not ask the store for each alert.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::RwLock;

use super::Channel;
use super::record::DeliveryOutcome;
use crate::alert::{Alert, CloseReason, DetectorId, Handling};
use crate::event::EventTime;
use crate::workflow::{Act, Course, Standing, Suppression, Verdict, annotated, hidden_by, judge};

/// The standing of each incident that people touched. `app` reads it from the store; lanes look it
/// up. While the store is away, the last known standing counts, and an unknown incident is
/// delivered.
#[derive(Default)]
pub struct Casebook {
    cases: RwLock<HashMap<String, Case>>,
    /// Incidents that ended after an action on their key was requested.
    ended: RwLock<HashSet<String>>,
    suppressions: RwLock<Vec<Suppression>>,
    /// The channels for alerts about the monitor itself; empty for all.
    monitor_channels: RwLock<Vec<String>>,
}

/// What a lane does with an alert that is due.
pub(super) enum Ruling {
    /// Sends it, with what people decided.
    Send(Arc<Alert>),
    /// Records this final outcome, with its reason.
    Settle(DeliveryOutcome, String),
}

struct Case {
    acts: Vec<Act>,
    last: EventTime,
    standing: Arc<Standing>,
}

impl Casebook {
    /// Adds acts. Those that are known change nothing.
    pub fn learn(&self, acts: Vec<Act>) {
        let mut by_incident: HashMap<String, Vec<Act>> = HashMap::new();
        let known = self.cases.read();
        let is_new = |act: &Act| {
            known.get(&act.incident).is_none_or(|case| case.acts.iter().all(|it| it.id != act.id))
        };
        for act in acts.into_iter().filter(is_new) {
            by_incident.entry(act.incident.clone()).or_default().push(act);
        }
        drop(known);
        let mut cases = self.cases.write();
        for (incident, mut acts) in by_incident {
            acts.extend(cases.remove(&incident).into_iter().flat_map(|case| case.acts));
            cases.insert(incident, Case::of(acts));
        }
    }

    /// Replaces the incidents that ended after an action on their key was requested.
    pub fn set_ended(&self, incidents: HashSet<String>) {
        *self.ended.write() = incidents;
    }

    /// Replaces the suppressions.
    pub fn set_suppressions(&self, suppressions: Vec<Suppression>) {
        *self.suppressions.write() = suppressions;
    }

    /// Sets the channels for alerts about the monitor itself; an empty list means all.
    pub fn route_monitor(&self, channels: Vec<String>) {
        *self.monitor_channels.write() = channels;
    }

    /// Whether the policy sends the alert through the channel of this name. A request goes through
    /// all of them: the policy chooses whom to tell, and not who acts.
    fn is_routed(&self, channel: &str, alert: &Alert) -> bool {
        let holds =
            |channels: &[String]| channels.is_empty() || channels.iter().any(|it| it == channel);
        let is_monitor = |detector: &DetectorId| detector.is_of_monitor();
        if !alert.detectors.is_empty() && alert.detectors.iter().all(is_monitor) {
            return holds(&self.monitor_channels.read());
        }
        alert.alert_type.is_request() || holds(&alert.guidance.channels)
    }

    /// The suppression that hides this alert from people.
    pub fn suppression(&self, alert: &Alert) -> Option<Suppression> {
        hidden_by(&self.suppressions.read(), alert, EventTime::now()).cloned()
    }

    /// The number of suppressions that are active.
    pub fn active_suppressions(&self, now: EventTime) -> usize {
        self.suppressions.read().iter().filter(|it| it.is_active(now)).count()
    }

    /// Forgets incidents without an act since `time`.
    pub fn forget_before(&self, time: EventTime) {
        self.cases.write().retain(|_, case| case.last >= time);
    }

    /// `None` for an incident that nobody has touched.
    pub fn standing(&self, incident: &str) -> Option<Arc<Standing>> {
        self.cases.read().get(incident).map(|case| Arc::clone(&case.standing))
    }

    /// Decides whether `channel` gets an alert.
    pub(super) fn rule(&self, channel: &impl Channel, alert: &Arc<Alert>) -> Ruling {
        let standing = self.standing(&alert.id);
        let told = match &standing {
            Some(standing) => Arc::new(annotated(standing, alert)),
            None => Arc::clone(alert),
        };
        if let Some(reason) = channel.declines(&told) {
            return Ruling::Settle(DeliveryOutcome::Skipped, reason.to_owned());
        }
        if !channel.is_record() && !self.is_routed(channel.name(), alert) {
            let reason = "the policy tells other channels of it".to_owned();
            return Ruling::Settle(DeliveryOutcome::Skipped, reason);
        }
        let suppression = self.suppression(alert);
        if channel.is_record() {
            return Ruling::Send(match suppression {
                Some(suppression) => suppressed(&told, suppression),
                None => told,
            });
        }
        if let Some(suppression) = suppression {
            let outcome = match alert.alert_type.is_request() {
                true => DeliveryOutcome::Withdrawn,
                false => DeliveryOutcome::Suppressed,
            };
            return Ruling::Settle(outcome, suppression.to_string());
        }
        if let Some(reason) = self.lateness(alert, standing.as_deref()) {
            return Ruling::Settle(DeliveryOutcome::Withdrawn, reason);
        }
        let Some(standing) = standing else { return Ruling::Send(told) };
        match judge(&standing, alert) {
            Verdict::Deliver | Verdict::Reopens(..) => Ruling::Send(told),
            Verdict::KeepQuiet(closing) => {
                let reason = format!("{closing}; quiet until {}", closing.quiet_until);
                Ruling::Settle(DeliveryOutcome::KeptQuiet, reason)
            }
            Verdict::Withdraw(closing) => {
                Ruling::Settle(DeliveryOutcome::Withdrawn, closing.to_string())
            }
        }
    }

    /// Why a request comes too late to be sent. The end of the evidence does not withdraw the
    /// request of an incident that people have confirmed.
    fn lateness(&self, alert: &Alert, standing: Option<&Standing>) -> Option<String> {
        if !alert.alert_type.is_request() {
            return None;
        }
        let deadline = alert.handling.deadline.filter(|deadline| *deadline < EventTime::now());
        if let Some(deadline) = deadline {
            return Some(format!("its deadline, {deadline}, has passed"));
        }
        let closing = standing.and_then(Standing::closing);
        let is_confirmed =
            closing.and_then(|closing| closing.reason).is_some_and(CloseReason::confirms);
        let has_ended = !is_confirmed && self.ended.read().contains(&alert.id);
        has_ended.then(|| "its incident has ended: no more evidence came".to_owned())
    }

    /// The number of incidents that are closed by people and whose quiet time has not ended.
    pub fn quiet(&self, now: EventTime) -> usize {
        let is_quiet =
            |case: &&Case| case.standing.closing().is_some_and(|it| it.quiet_until >= now);
        self.cases.read().values().filter(is_quiet).count()
    }
}

fn suppressed(alert: &Alert, suppression: Suppression) -> Arc<Alert> {
    let handling = Handling { suppressed_by: Some(suppression.id), ..alert.handling.clone() };
    Arc::new(Alert { handling, ..alert.clone() })
}

impl Case {
    fn of(acts: Vec<Act>) -> Self {
        let course = Course::of(acts.clone());
        Self { acts, last: course.last().unwrap_or_default(), standing: Arc::new(course.standing) }
    }
}
