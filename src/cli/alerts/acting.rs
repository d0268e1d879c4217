//! Records an act of a person on one or many incidents, and tells what came of it.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow};
use serde_json::{Value, json};

use super::case::{self, Case};
use super::filter::{Filter, Row, StateChoice};
use super::print;
use crate::alert::{CloseReason, IncidentState, Severity};
use crate::cli::CommandError;
use crate::event::EventTime;
use crate::store::Store;
use crate::text::{counted, visible, visible_json};
use crate::workflow::{Act, Course, Kind, Obstacle, Origin};

/// Incidents that are read and written at once.
const CHUNK: usize = 500;

/// What a person wants, and for which incidents.
pub struct Order {
    pub kind: Kind,
    pub reason: Option<CloseReason>,
    pub assignee: Option<String>,
    pub text: String,
    pub quiet_seconds: u32,
    pub who: String,
    /// Empty when the filter selects.
    pub ids: Vec<String>,
    pub filter: Filter,
    /// Whether the person has agreed to act on all incidents that match.
    pub is_sure: bool,
    pub as_json: bool,
}

/// What came of the act on one incident.
struct Told {
    is_refused: bool,
    /// A closed incident that was critical, or proposed a request: told one by one.
    is_grave: bool,
    sentence: String,
    json: Value,
}

pub async fn run(order: Order, store: &Store) -> Result<(), CommandError> {
    let ids = incidents(&order, store).await?;
    let mut refused = Vec::new();
    for chunk in ids.chunks(CHUNK) {
        let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
        for told in act_on(&order, store, &chunk).await? {
            if order.as_json {
                print(&(visible_json(&told.json.to_string()) + "\n"))?;
            } else if !told.is_refused && (told.is_grave || !order.ids.is_empty()) {
                print(&(told.sentence.clone() + "\n"))?;
            }
            if told.is_refused {
                refused.push(told.sentence);
            }
        }
    }
    conclude(&order, ids.len() - refused.len(), &refused)
}

/// The incidents that the order names. A filter needs the consent of the person.
async fn incidents(order: &Order, store: &Store) -> Result<Vec<String>, CommandError> {
    if !order.ids.is_empty() {
        let mut ids = order.ids.clone();
        ids.sort();
        ids.dedup();
        require_known(store, &ids).await?;
        return Ok(ids);
    }
    let mut filter = order.filter.clone();
    if filter.state.is_empty() && order.kind == Kind::Reopen {
        filter.state = vec![StateChoice::Only(IncidentState::Closed)];
    }
    let mut rows = filter.load(store, u32::MAX).await.map_err(anyhow::Error::from)?;
    if order.kind.closes() && !filter.detector.is_empty() {
        rows.retain(|row| row.is_only_of(&filter.detector));
    }
    let matching = counted(rows.len(), "incident");
    if rows.is_empty() {
        return Err(
            anyhow!("no incident matches; `keywatch alerts list` takes the same filter").into()
        );
    }
    if !order.is_sure {
        let sentence = format!(
            "{matching} ({}) would be {}, and nothing was changed: repeat the command with --yes",
            by_severity(&rows),
            order.kind.done()
        );
        return Err(CommandError::Usage(anyhow!(sentence)));
    }
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// `1 critical, 3 low`.
fn by_severity(rows: &[Row]) -> String {
    let count = |severity: &Severity| {
        let count = rows.iter().filter(|row| row.severity == severity.as_str()).count();
        (count > 0).then(|| format!("{count} {severity}"))
    };
    let counts: Vec<String> = Severity::ALL.iter().rev().filter_map(count).collect();
    counts.join(", ")
}

async fn require_known(store: &Store, ids: &[String]) -> Result<(), CommandError> {
    for chunk in ids.chunks(CHUNK) {
        let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
        let known = store.known_revisions(&chunk).await.map_err(anyhow::Error::from)?;
        let unknown = chunk.iter().find(|id| known.iter().all(|(known, _)| known != *id));
        if let Some(id) = unknown {
            return Err(unknown_incident(id));
        }
    }
    Ok(())
}

pub fn unknown_incident(id: &str) -> CommandError {
    let id = visible(id);
    anyhow!("no alert has the id {id}; `keywatch alerts list --state any` names all incidents")
        .into()
}

/// Stores the acts that fit the standing of their incidents, and reads back which took effect:
/// somebody else may have acted at the same moment.
async fn act_on(order: &Order, store: &Store, ids: &[&str]) -> Result<Vec<Told>, CommandError> {
    let cases = case::load(store, ids).await.map_err(anyhow::Error::from)?;
    let acts: BTreeMap<&str, Act> = cases
        .iter()
        .filter(|(_, case)| case.obstacle(order.kind).is_none())
        .map(|(id, case)| (id.as_str(), order.act(id, case)))
        .collect();
    let written: Vec<Act> = acts.values().cloned().collect();
    store.record_acts(&written).await.with_context(
        || "it is not known whether this was stored; `keywatch alerts show ID` tells",
    )?;
    let mut courses = case::courses(store, ids).await.map_err(anyhow::Error::from)?;
    let told = |(id, case): (&String, &Case)| {
        let course = courses.remove(id).unwrap_or_default();
        let obstacle = match acts.get(id.as_str()) {
            Some(act) => effect(&course, act),
            None => case.obstacle(order.kind),
        };
        Told::new(order, id, case, &course, obstacle)
    };
    Ok(cases.iter().map(told).collect())
}

/// Why a stored act has no effect.
fn effect(course: &Course, act: &Act) -> Option<Obstacle> {
    course.steps.iter().find(|(step, _)| step.id == act.id)?.1.clone()
}

impl Order {
    fn act(&self, incident: &str, case: &Case) -> Act {
        Act {
            incident: incident.to_owned(),
            id: format!("act_{:032x}", rand::random::<u128>()),
            time: case.course.last().unwrap_or_default(),
            who: self.who.clone(),
            origin: Origin::CommandLine,
            kind: self.kind,
            reason: self.reason,
            assignee: self.assignee.clone(),
            text: self.text.clone(),
            seen: case.seen(),
            quiet_seconds: self.quiet_seconds,
        }
    }
}

impl Told {
    fn new(
        order: &Order,
        id: &str,
        case: &Case,
        course: &Course,
        obstacle: Option<Obstacle>,
    ) -> Self {
        let standing = &course.standing;
        let reason = standing.closing_in_force(&case.revisions).and_then(|closing| closing.reason);
        let sentence = match &obstacle {
            Some(obstacle) => refusal(id, obstacle),
            None => success(order, case, course),
        };
        let json = json!({
            "id": id, "kind": order.kind, "by": order.who, "has_effect": obstacle.is_none(),
            "state": standing.state(&case.revisions), "close_reason": reason,
            "assignee": standing.assignee, "message": sentence,
        });
        let latest = case.latest();
        let is_grave = latest.severity == Severity::Critical || latest.action.request().is_some();
        let is_grave = is_grave && order.kind.closes();
        Self { is_refused: obstacle.is_some(), is_grave, sentence, json }
    }
}

fn refusal(id: &str, obstacle: &Obstacle) -> String {
    let id = visible(id);
    let remedy = match obstacle {
        Obstacle::Closed(_) => format!("; `keywatch alerts reopen {id}` opens it again"),
        Obstacle::Acknowledged { .. } => "; nothing more is needed".to_owned(),
        Obstacle::Ruled(_) | Obstacle::NothingProposed | Obstacle::Ended => String::new(),
        Obstacle::Requested(_) => "; a dismissal withdraws it while it is not sent".to_owned(),
        Obstacle::NotClosed => format!("; `keywatch alerts show {id}` shows its state"),
    };
    visible(&format!("incident {id} {obstacle}{remedy}"))
}

/// What was done, and what follows from it.
fn success(order: &Order, case: &Case, course: &Course) -> String {
    let done = match (order.kind, &order.assignee, order.reason) {
        (Kind::Comment, ..) => "commented on".to_owned(),
        (kind, ..) if kind.rules() => ruled(kind, case),
        (Kind::Assign, Some(wanted), _) => assigned(wanted, course.standing.assignee.as_deref()),
        (kind, _, Some(reason)) => format!("{} as {reason}", kind.done()),
        (kind, ..) => kind.done().to_owned(),
    };
    let consequences = course.standing.closing().filter(|_| order.kind.closes());
    let consequences = consequences.map(|closing| consequences_of(case, closing.quiet_until));
    visible(&format!("{}: {done}{}", case.latest().id, consequences.unwrap_or_default()))
}

/// The meaning of a decision about the action.
fn ruled(kind: Kind, case: &Case) -> String {
    let action = case.seen().action;
    match kind {
        Kind::Reject => {
            format!("rejected; no request to {action} the key will be made on this evidence")
        }
        _ => format!(
            "approved; the request to {action} the key is made when the budget allows it, and \
             `keywatch alerts show {}` tells what became of it",
            case.latest().id
        ),
    }
}

fn assigned(wanted: &str, now: Option<&str>) -> String {
    match now {
        Some(other) if other != wanted => {
            format!("assigned to {wanted}, and by somebody else to {other}, who has it now")
        }
        _ => format!("assigned to {wanted}"),
    }
}

/// What closing the incident means for its evidence and for a revocation of its key.
fn consequences_of(case: &Case, quiet_until: EventTime) -> String {
    let latest = case.latest();
    let critical = if latest.severity == Severity::Critical { ", critical or not," } else { "" };
    let seen = case.seen();
    let kinds: Vec<&str> = seen.detectors.iter().map(|detector| detector.as_str()).collect();
    let mut text = format!(
        "; this covers revision {} ({}: {}); further evidence of the same kind{critical} is stored \
         and not sent until {quiet_until}",
        seen.revision,
        seen.severity,
        kinds.join(", ")
    );
    if let Some(request) = case.request() {
        let (action, at) = (request.action, request.detected_at);
        text += &format!(
            "; a request to {action} the key was made at {at}, and what was sent is not undone"
        );
    } else if latest.action.request().is_some() && !latest.dry_run {
        text += &format!(
            "; a dismissal withdraws the proposal to {} the key, a confirmation does not",
            latest.action
        );
    }
    text
}

/// Tells what was refused, and sums up an act on all incidents that match.
fn conclude(order: &Order, done: usize, refused: &[String]) -> Result<(), CommandError> {
    let (first, others) = match refused {
        [] => (None, refused),
        [first, others @ ..] => (Some(first), others),
    };
    if !order.as_json {
        others.iter().for_each(|sentence| anstream::eprintln!("keywatch: {sentence}"));
        if order.ids.is_empty() {
            print(&format!("{}: {}\n", counted(done, "incident"), order.kind.done()))?;
        }
    }
    first.map_or(Ok(()), |sentence| Err(anyhow!(sentence.clone()).into()))
}
