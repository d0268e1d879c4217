//! Reads incidents with everything that people did to them.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use crate::alert::{Alert, AlertType, IncidentState, Restraint};
use crate::store::{Store, StoreError};
use crate::workflow::{Act, Course, Kind, Obstacle, Seen, brings_evidence};

/// One incident: its revisions, oldest first and at least one, and its course.
#[derive(Debug)]
pub struct Case {
    pub revisions: Vec<Alert>,
    pub course: Course,
}

impl Case {
    pub fn latest(&self) -> &Alert {
        &self.revisions[self.revisions.len() - 1]
    }

    pub fn state(&self) -> IncidentState {
        self.course.standing.state(&self.revisions)
    }

    /// The latest evidence.
    pub fn seen(&self) -> Seen {
        Seen::latest(&self.revisions).unwrap_or_else(|| Seen::of(self.latest()))
    }

    /// The latest evidence of somebody who read the incident at this revision.
    pub fn seen_at(&self, revision: u32) -> Seen {
        let known = self.revisions.iter().filter(|alert| alert.revision <= revision);
        Seen::latest(known).unwrap_or_else(|| self.seen())
    }

    pub fn version(&self) -> Version {
        let act = self.course.steps.last().map(|(act, _)| act.id.clone());
        Version { revision: self.latest().revision, act: act.unwrap_or_default() }
    }

    /// What people did since this version was read.
    pub fn acts_since(&self, version: &Version) -> &[(Act, Option<Obstacle>)] {
        let steps = &self.course.steps;
        let read = steps.iter().position(|(act, _)| act.id == version.act);
        &steps[read.map_or(0, |at| at + 1)..]
    }

    /// Why an act of this kind would change nothing.
    pub fn obstacle(&self, kind: Kind) -> Option<Obstacle> {
        self.obstacle_for(kind, &self.seen())
    }

    /// Why an act of somebody who knows this evidence would change nothing.
    pub fn obstacle_for(&self, kind: Kind, seen: &Seen) -> Option<Obstacle> {
        if kind == Kind::Reopen && self.state() != IncidentState::Closed {
            return Some(Obstacle::NotClosed);
        }
        let obstacle = self.course.standing.obstacle(kind, seen);
        obstacle.or_else(|| if kind.rules() { self.nothing_to_rule() } else { None })
    }

    /// Why nothing waits for a decision about the action.
    fn nothing_to_rule(&self) -> Option<Obstacle> {
        let evidence = self.revisions.iter().rev().find(|alert| brings_evidence(alert));
        let asked = evidence.and_then(|alert| alert.action.request().filter(|_| !alert.dry_run));
        let Some(asked) = asked else { return Some(Obstacle::NothingProposed) };
        let is_asked = |alert: &&Alert| {
            alert.alert_type == asked || alert.alert_type == AlertType::RevocationRequested
        };
        if let Some(request) = self.revisions.iter().find(is_asked) {
            return Some(Obstacle::Requested(request.detected_at));
        }
        let has_ended = self.latest().alert_type == AlertType::Resolved;
        has_ended.then_some(Obstacle::Ended)
    }

    /// The request about its key, the strongest if there are two.
    pub fn request(&self) -> Option<&Alert> {
        let requests = self.revisions.iter().filter(|alert| alert.alert_type.is_request());
        requests.max_by_key(|alert| alert.action)
    }

    /// Everything about it, for programs.
    pub fn as_json(&self) -> Value {
        let standing = &self.course.standing;
        let closing = standing.closing_in_force(&self.revisions);
        let act = |(act, obstacle): &(Act, Option<Obstacle>)| {
            let mut json = json!(act);
            json["has_effect"] = obstacle.is_none().into();
            json
        };
        json!({
            "id": self.latest().id,
            "state": self.state(),
            "close_reason": closing.and_then(|closing| closing.reason),
            "quiet_until": closing.map(|closing| closing.quiet_until),
            "assignee": standing.assignee,
            "owner_said": standing.owner,
            "waits_for": self.waits_for(),
            "approved": standing.ruling.as_ref().map(|ruling| ruling.is_approval),
            "acts": self.course.steps.iter().map(act).collect::<Vec<_>>(),
            "revisions": self.revisions,
        })
    }

    /// The reason why its proposal waits.
    pub fn waits_for(&self) -> Option<Restraint> {
        let told = self.revisions.iter().rev().find_map(|alert| alert.restraint);
        let is_ruled = self.course.standing.ruling_on(&self.seen()).is_some();
        let waits = told.filter(|restraint| {
            restraint.is_wait() && !(is_ruled && *restraint == Restraint::ApprovalPending)
        });
        waits.filter(|_| self.obstacle(Kind::Approve).is_none() || is_ruled)
    }
}

/// What somebody has read of an incident: its latest revision and the latest act on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    pub revision: u32,
    /// Empty before the first act.
    pub act: String,
}

impl Version {
    /// Reads the text of a version.
    pub fn parse(text: &str) -> Option<Self> {
        let (revision, act) = text.split_once('-')?;
        let is_plain = act.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let revision = revision.parse().ok()?;
        (is_plain && act.len() <= 64).then(|| Self { revision, act: act.to_owned() })
    }
}

/// `3-act_…`.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.revision, self.act)
    }
}

/// Returns the incidents that exist, by id.
///
/// # Errors
/// [`StoreError`].
pub async fn load(store: &Store, ids: &[&str]) -> Result<BTreeMap<String, Case>, StoreError> {
    let mut revisions: BTreeMap<String, Vec<Alert>> = BTreeMap::new();
    for alert in store.revisions_of(ids).await? {
        revisions.entry(alert.id.clone()).or_default().push(alert);
    }
    let mut courses = courses(store, ids).await?;
    let case = |(id, revisions): (String, Vec<Alert>)| {
        let course = courses.remove(&id).unwrap_or_default();
        (id, Case { revisions, course })
    };
    Ok(revisions.into_iter().map(case).collect())
}

/// Returns the courses of the incidents that people touched, by id.
///
/// # Errors
/// [`StoreError`].
pub async fn courses(store: &Store, ids: &[&str]) -> Result<BTreeMap<String, Course>, StoreError> {
    let mut acts: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for act in store.acts_of(ids).await? {
        acts.entry(act.incident.clone()).or_default().push(act);
    }
    Ok(acts.into_iter().map(|(id, acts)| (id, Course::of(acts))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_reads_back() {
        for text in ["1-", "12-act_0a"] {
            let version = Version::parse(text).unwrap_or_default();
            assert_eq!(version.to_string(), text);
        }
        for bad in ["", "1", "x-act", "1-a\"b", "-1-act"] {
            assert_eq!(Version::parse(bad), None, "{bad}");
        }
    }
}
