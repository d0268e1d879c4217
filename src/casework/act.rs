//! Records an act of a person on one or many incidents, and finds out what came of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::case::{self, Case, Version};
use super::words;
use crate::alert::{CloseReason, Severity};
use crate::store::{Store, StoreError};
use crate::workflow::{Act, Course, Kind, Obstacle, Origin, Seen};

/// What a person wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    pub kind: Kind,
    pub reason: Option<CloseReason>,
    pub assignee: Option<String>,
    pub text: String,
    pub quiet_seconds: u32,
    pub who: String,
    pub origin: Origin,
}

/// What the person had read when giving the order.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// A page. Others may have commented meanwhile, and evidence may have come: the act counts for
    /// what the page showed.
    Page(Version),
    /// Exactly this version.
    Exactly(Version),
    /// Whatever is stored.
    Latest,
}

/// What came of an order on one incident.
#[derive(Debug)]
pub struct Told {
    pub id: String,
    /// The incident before the act.
    pub case: Case,
    /// What people did, with this act if it was stored.
    pub course: Course,
    /// Why the act changed nothing.
    pub obstacle: Option<Obstacle>,
    /// Whether the same order was carried out before, and this is its result.
    pub is_repeated: bool,
}

#[derive(Debug)]
pub enum Outcome {
    /// There is no such incident.
    Unknown,
    /// The incident has changed since it was read. Nothing was stored.
    Moved(Box<Case>),
    /// Another act has this id. Nothing was stored.
    Taken,
    Done(Box<Told>),
}

/// Stores the acts that fit the standing of their incidents, and reads back which took effect:
/// somebody else may have acted at the same moment. Incidents that do not exist are left out.
///
/// # Errors
/// [`StoreError`]; after one, `incident_acts` tells what was stored.
pub async fn act_on_all(
    order: &Order,
    store: &Store,
    ids: &[&str],
) -> Result<Vec<Told>, StoreError> {
    let cases = case::load(store, ids).await?;
    let fits = |case: &Case| case.obstacle(order.kind).is_none();
    let act = |id: &String, case: &Case| order.act(id, new_id(), case, case.seen());
    let acts: BTreeMap<String, Act> = cases
        .iter()
        .filter(|(_, case)| fits(case))
        .map(|(id, case)| (id.clone(), act(id, case)))
        .collect();
    let written: Vec<Act> = acts.values().cloned().collect();
    store.record_acts(&written).await?;
    let mut courses = case::courses(store, ids).await?;
    let told = |(id, case): (String, Case)| {
        let course = courses.remove(&id).unwrap_or_default();
        let obstacle = match acts.get(&id) {
            Some(act) => effect(&course, &act.id),
            None => case.obstacle(order.kind),
        };
        Told::new(&id, case, course, obstacle)
    };
    Ok(cases.into_iter().map(told).collect())
}

/// Does the same on one incident, as somebody read it. An order with an `act_id` that was carried
/// out before is not carried out again.
///
/// # Errors
/// [`StoreError`]; after one, the same order with the same `act_id` may be repeated.
pub async fn act_once(
    order: &Order,
    store: &Store,
    id: &str,
    reading: &Reading,
    act_id: String,
) -> Result<Outcome, StoreError> {
    let Some(case) = case::load(store, &[id]).await?.remove(id) else {
        return Ok(Outcome::Unknown);
    };
    if let Some((earlier, _)) = case.course.steps.iter().find(|(act, _)| act.id == act_id) {
        if !order.is_of(earlier) {
            return Ok(Outcome::Taken);
        }
        let (course, obstacle) = (case.course.clone(), effect(&case.course, &act_id));
        return Ok(Told { is_repeated: true, ..Told::new(id, case, course, obstacle) }.into());
    }
    if reading.is_behind(&case, order.kind) {
        return Ok(Outcome::Moved(Box::new(case)));
    }
    let seen = reading.seen(&case);
    let obstacle = case.obstacle_for(order.kind, &seen);
    if obstacle.is_some() {
        let course = case.course.clone();
        return Ok(Told::new(id, case, course, obstacle).into());
    }
    let act = order.act(id, act_id, &case, seen);
    store.record_acts(std::slice::from_ref(&act)).await?;
    let course = case::courses(store, &[id]).await?.remove(id).unwrap_or_default();
    let obstacle = effect(&course, &act.id);
    Ok(Told::new(id, case, course, obstacle).into())
}

/// What came of a stored act, in words.
pub fn told_of(case: &Case, act: &Act, obstacle: Option<&Obstacle>) -> String {
    match obstacle {
        Some(obstacle) => words::refusal(&act.incident, obstacle),
        None => words::success(&Order::of(act), case, &case.course),
    }
}

/// Why a stored act has no effect.
fn effect(course: &Course, id: &str) -> Option<Obstacle> {
    course.steps.iter().find(|(step, _)| step.id == id)?.1.clone()
}

fn new_id() -> String {
    format!("act_{:032x}", rand::random::<u128>())
}

impl Order {
    fn of(act: &Act) -> Self {
        Self {
            kind: act.kind,
            reason: act.reason,
            assignee: act.assignee.clone(),
            text: act.text.clone(),
            quiet_seconds: act.quiet_seconds,
            who: act.who.clone(),
            origin: act.origin,
        }
    }

    fn act(&self, incident: &str, id: String, case: &Case, seen: Seen) -> Act {
        Act {
            incident: incident.to_owned(),
            id,
            time: case.course.last().unwrap_or_default(),
            who: self.who.clone(),
            origin: self.origin,
            kind: self.kind,
            reason: self.reason,
            assignee: self.assignee.clone(),
            text: self.text.clone(),
            seen,
            quiet_seconds: self.quiet_seconds,
        }
    }

    /// Whether the act is what this order asks for.
    fn is_of(&self, act: &Act) -> bool {
        self.kind == act.kind
            && self.reason == act.reason
            && self.assignee == act.assignee
            && self.text == act.text
            && self.who == act.who
    }
}

impl Reading {
    /// The evidence that the person knew.
    fn seen(&self, case: &Case) -> Seen {
        match self {
            Self::Page(read) | Self::Exactly(read) => case.seen_at(read.revision),
            Self::Latest => case.seen(),
        }
    }

    /// Whether the incident has changed so much that the person must look again.
    fn is_behind(&self, case: &Case, kind: Kind) -> bool {
        match self {
            Self::Latest => false,
            Self::Exactly(read) => case.version() != *read,
            // A comment takes nothing back and decides nothing.
            Self::Page(_) if kind.is_remark() => false,
            Self::Page(read) => {
                let mut acts = case.acts_since(read).iter();
                let others_acted =
                    acts.any(|(act, obstacle)| obstacle.is_none() && !act.kind.is_remark());
                // A person must know the evidence on which a key is suspended or revoked.
                let is_blind = kind.rules() && case.seen().revision > read.revision;
                others_acted || is_blind
            }
        }
    }
}

impl From<Told> for Outcome {
    fn from(told: Told) -> Self {
        Self::Done(Box::new(told))
    }
}

impl Told {
    fn new(id: &str, case: Case, course: Course, obstacle: Option<Obstacle>) -> Self {
        Self { id: id.to_owned(), case, course, obstacle, is_repeated: false }
    }

    pub fn is_refused(&self) -> bool {
        self.obstacle.is_some()
    }

    /// A closed incident that was critical, or proposed a request: told one by one.
    pub fn is_grave(&self, order: &Order) -> bool {
        let latest = self.case.latest();
        let is_grave = latest.severity == Severity::Critical || latest.action.request().is_some();
        is_grave && order.kind.closes()
    }

    /// The version after the act.
    pub fn version(&self) -> Version {
        let act = self.course.steps.last().map(|(act, _)| act.id.clone());
        Version { act: act.unwrap_or_default(), ..self.case.version() }
    }

    /// What was done and what follows from it, or why it was refused.
    pub fn sentence(&self, order: &Order) -> String {
        match &self.obstacle {
            Some(obstacle) => words::refusal(&self.id, obstacle),
            None => words::success(order, &self.case, &self.course),
        }
    }

    /// The result for programs; `message` is the sentence for people.
    pub fn as_json(&self, order: &Order, message: &str) -> Value {
        let standing = &self.course.standing;
        let closing = standing.closing_in_force(&self.case.revisions);
        json!({
            "id": self.id, "kind": order.kind, "by": order.who,
            "has_effect": self.obstacle.is_none(),
            "state": standing.state(&self.case.revisions),
            "close_reason": closing.and_then(|closing| closing.reason),
            "assignee": standing.assignee, "message": message,
        })
    }
}
