//! The words for what came of an act.

use super::act::Order;
use super::case::Case;
use crate::alert::Severity;
use crate::event::HOUR_SECONDS;
use crate::workflow::{Closing, Course, Kind, Obstacle};

/// The time for which a closing keeps evidence of the same kind quiet.
pub fn quiet_seconds(quiet_hours: f64) -> u32 {
    (quiet_hours * HOUR_SECONDS) as u32
}

/// Why an act changes nothing; [`remedy`] completes it.
pub fn refusal(id: &str, obstacle: &Obstacle) -> String {
    format!("incident {id} {obstacle}")
}

/// What may be done about it, after a semicolon; empty if nothing.
pub const fn remedy(obstacle: &Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Closed(_) => "reopen it first",
        Obstacle::Acknowledged { .. } => "nothing more is needed",
        Obstacle::Requested(_) => "a dismissal withdraws it while it is not sent",
        Obstacle::Ruled(_) | Obstacle::NothingProposed | Obstacle::Ended | Obstacle::NotClosed => {
            ""
        }
    }
}

/// What was done, and what follows from it.
pub fn success(order: &Order, case: &Case, course: &Course) -> String {
    let done = match (order.kind, &order.assignee, order.reason) {
        (Kind::Comment, ..) => "commented on".to_owned(),
        (kind, ..) if kind.rules() => ruled(kind, case),
        (Kind::Assign, Some(wanted), _) => assigned(wanted, course.standing.assignee.as_deref()),
        (kind, _, Some(reason)) => format!("{} as {reason}", kind.done()),
        (kind, ..) => kind.done().to_owned(),
    };
    let consequences = course.standing.closing().filter(|_| order.kind.closes());
    let consequences = consequences.map(|closing| consequences_of(case, closing));
    format!("{}: {done}{}", case.latest().id, consequences.unwrap_or_default())
}

/// The meaning of a decision about the action.
fn ruled(kind: Kind, case: &Case) -> String {
    let action = case.seen().action;
    match kind {
        Kind::Reject => {
            format!("rejected; no request to {action} the key will be made on this evidence")
        }
        _ => format!("approved; the request to {action} the key is made when the budget allows it"),
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
fn consequences_of(case: &Case, closing: &Closing) -> String {
    let latest = case.latest();
    let critical = if latest.severity == Severity::Critical { ", critical or not," } else { "" };
    let (seen, quiet_until) = (&closing.seen, closing.quiet_until);
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
