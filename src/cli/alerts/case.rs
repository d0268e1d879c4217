//! Reads incidents with everything that people did to them.

use std::collections::BTreeMap;

use crate::alert::{Alert, AlertType, IncidentState, Restraint};
use crate::store::{Store, StoreError};
use crate::workflow::{Course, Kind, Obstacle, Seen, brings_evidence};

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

    /// Why an act of this kind would change nothing.
    pub fn obstacle(&self, kind: Kind) -> Option<Obstacle> {
        if kind == Kind::Reopen && self.state() != IncidentState::Closed {
            return Some(Obstacle::NotClosed);
        }
        let obstacle = self.course.standing.obstacle(kind, &self.seen());
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
