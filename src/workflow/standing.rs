//! Folds the acts of people into the standing of an incident.
//!
//! ```text
//!             acknowledge             confirm, dismiss
//!   open ------------------> acknowledged ------------> closed
//!    | ^------------ reopen, or evidence beyond -----------|
//!    '----------------- confirm, dismiss ----------------->'
//! ```
//!
//! Acts count in the order of their times, then of their ids. An act that does not fit the standing
//! at its place changes nothing: of two people who close an incident at once, the first one counts.
//! The view `incident_standing` is the same fold in SQL.

use std::fmt;

use super::act::{Act, Kind, Seen, brings_evidence};
use crate::alert::{Alert, AlertType, CloseReason, DetectorId, IncidentState, OwnerWord, Severity};
use crate::event::EventTime;

/// An act that closed an incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Closing {
    pub at: EventTime,
    pub who: String,
    pub kind: Kind,
    pub reason: Option<CloseReason>,
    /// The evidence that the closing covers.
    pub seen: Seen,
    pub quiet_until: EventTime,
}

/// A person's decision about the action that the evidence proposes.
#[derive(Clone, Debug, PartialEq)]
pub struct Ruling {
    pub at: EventTime,
    pub who: String,
    pub is_approval: bool,
    /// The evidence and the action that it covers.
    pub seen: Seen,
}

/// The evidence that a closing does not cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// Detectors that the closing did not know.
    NewKind(Vec<DetectorId>),
    HigherSeverity(Severity),
    /// The same kind of evidence, after the time for which it is kept quiet.
    QuietIsOver,
}

/// The result of people's acts alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Held {
    #[default]
    Untouched,
    /// A person reopened it.
    Open,
    Acknowledged {
        who: String,
        at: EventTime,
    },
    Closed(Closing),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    pub held: Held,
    pub assignee: Option<String>,
    pub ruling: Option<Ruling>,
    /// The answers of the registered owner, if asked. They count after a closing too, and change
    /// nothing else.
    pub owner: Option<OwnerWord>,
}

/// The reason why an act changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Obstacle {
    Closed(Closing),
    Acknowledged {
        who: String,
        at: EventTime,
    },
    NotClosed,
    /// A person has approved or rejected the action before.
    Ruled(Ruling),
    /// The action was requested before.
    Requested(EventTime),
    /// The evidence asks for no action that needs a request.
    NothingProposed,
    /// The evidence has ended, and the proposal with it.
    Ended,
}

/// All acts of one incident in their order, each with the reason why it had no effect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Course {
    pub steps: Vec<(Act, Option<Obstacle>)>,
    pub standing: Standing,
}

impl Course {
    /// Folds the acts of one incident, given in any order. An act that is given twice counts once.
    pub fn of(mut acts: Vec<Act>) -> Self {
        acts.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        let mut course = Self::default();
        for act in acts {
            if course.steps.iter().all(|(earlier, _)| earlier.id != act.id) {
                let obstacle = course.standing.take(&act);
                course.steps.push((act, obstacle));
            }
        }
        course
    }

    /// The time of the latest act.
    pub fn last(&self) -> Option<EventTime> {
        self.steps.last().map(|(act, _)| act.time)
    }
}

impl Standing {
    /// Why an act of this kind would change nothing, if its author knows the evidence `seen`.
    pub fn obstacle(&self, kind: Kind, seen: &Seen) -> Option<Obstacle> {
        match (&self.held, kind) {
            (_, kind) if kind.is_remark() => None,
            (Held::Untouched | Held::Closed(_), Kind::Reopen) => None,
            (_, Kind::Reopen) => Some(Obstacle::NotClosed),
            (Held::Closed(closing), _) if closing.beyond(seen).is_none() => {
                Some(Obstacle::Closed(closing.clone()))
            }
            (_, kind) if kind.rules() => self.ruling_on(seen).cloned().map(Obstacle::Ruled),
            (Held::Acknowledged { who, at }, Kind::Acknowledge) => {
                Some(Obstacle::Acknowledged { who: who.clone(), at: *at })
            }
            _ => None,
        }
    }

    /// Applies the next act. Returns why it changes nothing.
    fn take(&mut self, act: &Act) -> Option<Obstacle> {
        let obstacle = self.obstacle(act.kind, &act.seen);
        if obstacle.is_none() {
            self.apply(act);
        }
        obstacle
    }

    fn apply(&mut self, act: &Act) {
        match act.kind {
            Kind::Comment => {}
            Kind::AskOwner | Kind::OwnerYes | Kind::OwnerNo => {
                let word = self.owner.get_or_insert_default();
                act.kind.answer().into_iter().for_each(|answer| word.add(answer));
            }
            Kind::Assign => self.assignee = act.assignee.clone(),
            Kind::Reopen => self.held = Held::Open,
            Kind::Acknowledge => {
                self.held = Held::Acknowledged { who: act.who.clone(), at: act.time };
            }
            Kind::Approve | Kind::Reject => self.ruling = Some(Ruling::by(act)),
            Kind::Confirm | Kind::Dismiss => self.held = Held::Closed(Closing::by(act)),
        }
    }

    /// The decision that covers this evidence and the action that it proposes.
    pub fn ruling_on(&self, seen: &Seen) -> Option<&Ruling> {
        self.ruling.as_ref().filter(|ruling| ruling.covers(seen))
    }

    pub fn closing(&self) -> Option<&Closing> {
        match &self.held {
            Held::Closed(closing) => Some(closing),
            _ => None,
        }
    }

    /// The closing that counts for an incident with these revisions, and not one that evidence has
    /// overtaken.
    pub fn closing_in_force(&self, revisions: &[Alert]) -> Option<&Closing> {
        let closing = self.closing()?;
        let mut evidence = revisions.iter().filter(|alert| brings_evidence(alert)).map(Seen::of);
        evidence.all(|seen| closing.beyond(&seen).is_none()).then_some(closing)
    }

    /// The state of an incident with these revisions, in any order. An incident that nobody holds
    /// is closed when its evidence has ended.
    pub fn state(&self, revisions: &[Alert]) -> IncidentState {
        let last = revisions.iter().max_by_key(|alert| alert.revision);
        let has_ended = last.is_some_and(|alert| alert.alert_type == AlertType::Resolved);
        match &self.held {
            Held::Open => IncidentState::Open,
            Held::Acknowledged { .. } => IncidentState::Acknowledged,
            Held::Closed(_) if self.closing_in_force(revisions).is_some() => IncidentState::Closed,
            Held::Untouched | Held::Closed(_) if has_ended => IncidentState::Closed,
            Held::Untouched | Held::Closed(_) => IncidentState::Open,
        }
    }
}

impl Ruling {
    fn by(act: &Act) -> Self {
        Self {
            at: act.time,
            who: act.who.clone(),
            is_approval: act.kind == Kind::Approve,
            seen: act.seen.clone(),
        }
    }

    /// Whether its author knew all that this evidence says, and no less of an action.
    fn covers(&self, seen: &Seen) -> bool {
        let is_known = |detector: &DetectorId| self.seen.detectors.contains(detector);
        seen.action <= self.seen.action
            && seen.severity <= self.seen.severity
            && seen.detectors.iter().all(is_known)
    }
}

impl Closing {
    fn by(act: &Act) -> Self {
        Self {
            at: act.time,
            who: act.who.clone(),
            kind: act.kind,
            reason: act.reason,
            seen: act.seen.clone(),
            quiet_until: act.time.plus_seconds(f64::from(act.quiet_seconds)),
        }
    }

    /// How this evidence goes beyond what the closing covers; `None` if it does not.
    pub fn beyond(&self, seen: &Seen) -> Option<Beyond> {
        if seen.revision <= self.seen.revision {
            return None;
        }
        let is_new = |detector: &&DetectorId| !self.seen.detectors.contains(detector);
        let new: Vec<_> = seen.detectors.iter().filter(is_new).copied().collect();
        if !new.is_empty() {
            Some(Beyond::NewKind(new))
        } else if seen.severity > self.seen.severity {
            Some(Beyond::HigherSeverity(seen.severity))
        } else {
            (seen.at > self.quiet_until).then_some(Beyond::QuietIsOver)
        }
    }
}

/// `dismissed as false_travel by alice at 2026-…`.
impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.done())?;
        if let Some(reason) = self.reason {
            write!(f, " as {reason}")?;
        }
        write!(f, " by {} at {}", self.who, self.at)
    }
}

/// `approved by alice at 2026-…`.
impl fmt::Display for Ruling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = if self.is_approval { Kind::Approve } else { Kind::Reject }.done();
        write!(f, "{done} by {} at {}", self.who, self.at)
    }
}

/// The reason as a clause, after "because".
impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewKind(detectors) => {
                let names: Vec<_> = detectors.iter().map(|detector| detector.as_str()).collect();
                write!(f, "{} is evidence of a new kind", names.join(", "))
            }
            Self::HigherSeverity(severity) => write!(f, "its severity has risen to {severity}"),
            Self::QuietIsOver => f.write_str("the evidence goes on after the quiet time"),
        }
    }
}

/// The reason as a clause, after "it".
impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(closing) => write!(f, "was {closing}"),
            Self::Acknowledged { who, at } => write!(f, "was acknowledged by {who} at {at}"),
            Self::NotClosed => f.write_str("is not closed"),
            Self::Ruled(ruling) => {
                write!(f, "has a decision on its action already: it was {ruling}")
            }
            Self::Requested(at) => write!(f, "has a request for its action, made at {at}"),
            Self::NothingProposed => f.write_str("proposes neither a suspension nor a revocation"),
            Self::Ended => {
                f.write_str("has ended, and with it the proposal: no more evidence came")
            }
        }
    }
}

#[cfg(test)]
pub mod tests;
