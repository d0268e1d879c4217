//! Reads incidents with everything that people did to them.

use std::collections::BTreeMap;

use crate::alert::{Alert, IncidentState};
use crate::store::{Store, StoreError};
use crate::workflow::{Course, Kind, Obstacle, Seen};

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
        self.course.standing.obstacle(kind, &self.seen())
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
