//! `keywatch alerts show`.

use std::fmt::Write;
use std::io::{self, IsTerminal};

use serde::Deserialize;
use serde_json::json;

use super::acting::unknown_incident;
use super::print;
use crate::alert::{Alert, Restraint};
use crate::casework::{self, Case};
use crate::cli::CommandError;
use crate::event::EventTime;
use crate::facts::plain_id;
use crate::store::{Store, StoreError};
use crate::text::{counted, visible, visible_json};
use crate::workflow::Held;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch alerts show inc_9c0f6a1b2d3e4f5061728394
  keywatch alerts show inc_9c0f6a1b2d3e4f5061728394 --json | jq .acts
  keywatch alerts show inc_9c0f6a1b2d3e4f5061728394 | jq .explanation")]
pub struct Args {
    /// The id, as the mail, the webhook and `alerts list` show it
    id: String,
    /// Print one JSON object: state, revisions, and what people did
    #[arg(long)]
    json: bool,
}

/// Revisions that were not sent because of what people did.
const UNSENT: &str = "SELECT outcome, uniqExact(revision) AS revisions FROM deliveries \
    WHERE alert_id = {id:String} AND outcome IN ('kept_quiet', 'withdrawn', 'suppressed') \
    GROUP BY outcome ORDER BY outcome";

#[derive(Deserialize)]
struct Unsent {
    outcome: String,
    revisions: u64,
}

/// The last attempt to deliver each revision on each channel.
const SENT: &str = "SELECT revision, toString(channel) AS channel, \
        argMax(toString(outcome), time) AS outcome, argMax(detail, time) AS detail, \
        toString(max(time)) AS at \
    FROM deliveries WHERE alert_id = {id:String} GROUP BY revision, channel";

const CONFIRMED: &str = include_str!("../../../sql/console/confirmed.sql");

/// What became of the key after the request.
#[derive(Deserialize)]
struct Confirmed {
    kind: String,
    at: i64,
    told_by: String,
}

/// What is known of the way of a request.
#[derive(Default)]
struct Way {
    sent: Vec<Sent>,
    confirmed: Option<Confirmed>,
}

#[derive(Deserialize)]
struct Sent {
    revision: u32,
    channel: String,
    outcome: String,
    detail: String,
    at: String,
}

pub async fn run(args: &Args, store: &Store) -> Result<(), CommandError> {
    let (case, unsent, way) = load(&args.id, store).await.map_err(anyhow::Error::from)?;
    let case = case.ok_or_else(|| unknown_incident(&args.id))?;
    print(&if args.json {
        visible_json(&as_json(&case, &unsent, &way).to_string()) + "\n"
    } else if io::stdout().is_terminal() {
        in_words(&args.id, &case, &unsent, &way)
    } else {
        let line = |alert| serde_json::to_string(alert).map(|json| visible_json(&json) + "\n");
        case.revisions.iter().map(line).collect::<Result<_, _>>().map_err(anyhow::Error::from)?
    })
}

async fn load(id: &str, store: &Store) -> Result<(Option<Case>, Vec<Unsent>, Way), StoreError> {
    let mut cases = casework::load(store, &[id]).await?;
    let unsent = store.query_rows(UNSENT, &[("id", id)]).await?;
    let confirmed: Vec<Confirmed> = store.query_rows(CONFIRMED, &[("id", id)]).await?;
    let sent = store.query_rows(SENT, &[("id", id)]).await?;
    let way = Way { sent, confirmed: confirmed.into_iter().next() };
    Ok((cases.remove(id), unsent, way))
}

fn as_json(case: &Case, unsent: &[Unsent], way: &Way) -> serde_json::Value {
    let unsent: serde_json::Map<_, _> =
        unsent.iter().map(|it| (it.outcome.clone(), it.revisions.into())).collect();
    let mut json = case.as_json();
    json["not_sent"] = unsent.into();
    json["response"] = json!(case.request().map(|request| way.as_json(request)));
    json
}

fn in_words(id: &str, case: &Case, unsent: &[Unsent], way: &Way) -> String {
    let alert = case.latest();
    let mut text = format!("{}\n\n", visible(&alert.title));
    let risk = format!("{} (risk {:.0} of 100)", alert.severity, alert.risk);
    let mut facts = vec![("incident", visible(id)), ("state", state(case)), ("severity", risk)];
    if let Some(assignee) = &case.course.standing.assignee {
        facts.push(("assignee", visible(assignee)));
    }
    if let Some(word) = &case.course.standing.owner {
        facts.push(("owner", word.to_string()));
    }
    facts.push(("action", alert.action.to_string()));
    if let Some(restraint) = case.waits_for() {
        facts.push(("waits for", waits(restraint, alert)));
    }
    if let Some(ruling) = &case.course.standing.ruling {
        facts.push(("decision", visible(&ruling.to_string())));
    }
    if let Some(request) = case.request() {
        facts.extend(steps(request, way));
    }
    facts.push(("first sign", alert.first_event_time.to_string()));
    facts.push(("last sign", alert.last_event_time.to_string()));
    facts.push(("revisions", case.revisions.len().to_string()));
    for it in unsent {
        facts.push((
            "not sent",
            format!("{} {}", counted(it.revisions as usize, "revision"), why(&it.outcome)),
        ));
    }
    for (name, value) in facts {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "  {name:<11} {value}");
    }
    let _ = write!(text, "\n{}\n\n{}", visible(&alert.explanation), timeline(case));
    text
}

fn state(case: &Case) -> String {
    let standing = &case.course.standing;
    let state = case.state();
    match (standing.closing_in_force(&case.revisions), &standing.held) {
        (Some(closing), _) => visible(&format!("{state}: {closing}")),
        (None, Held::Acknowledged { who, at }) => visible(&format!("{state} by {who} at {at}")),
        (None, Held::Closed(closing)) => {
            visible(&format!("{state} again by new evidence, after it was {closing}"))
        }
        (None, _) => state.to_string(),
    }
}

/// The reason why the proposed action waits, and the remedy.
fn waits(restraint: Restraint, alert: &Alert) -> String {
    let id = plain_id(alert);
    let remedy = match restraint {
        Restraint::ApprovalPending => format!("; `keywatch alerts approve {id}`, or --reject"),
        _ => String::new(),
    };
    format!("{}: {}{remedy}", restraint.as_str(), restraint.because())
}

/// The four steps of a request: made, sent, answered, confirmed.
fn steps(request: &Alert, way: &Way) -> Vec<(&'static str, String)> {
    let mut steps =
        vec![("requested", format!("to {} the key, at {}", request.action, request.detected_at))];
    if let Some(deadline) = request.handling.deadline {
        steps.push(("deadline", deadline.to_string()));
    }
    if let Some(end) = request.handling.suspend_until {
        steps.push(("until", end.to_string()));
    }
    match way.of(request) {
        None => steps.push(("sent", "not yet".to_owned())),
        Some(it) if it.outcome == "delivered" => {
            steps.push(("sent", format!("to the webhook, at {}", it.at)));
            steps.push(("answered", visible(&it.detail)));
        }
        Some(it) => steps.push(("sent", visible(&format!("no: {} ({})", it.outcome, it.detail)))),
    }
    steps.push((
        "confirmed",
        match &way.confirmed {
            None => "not yet: nobody has told Keywatch that it took effect".to_owned(),
            Some(it) => visible(&format!("{} at {}, by {}", it.kind, it.time(), it.told_by)),
        },
    ));
    steps
}

impl Way {
    /// The last attempt to send the request.
    fn of(&self, request: &Alert) -> Option<&Sent> {
        let is_of = |it: &&Sent| it.revision == request.revision && it.channel == "webhook";
        self.sent.iter().find(is_of)
    }

    fn as_json(&self, request: &Alert) -> serde_json::Value {
        let sent = self.of(request);
        let answered = sent.filter(|it| it.outcome == "delivered");
        json!({
            "requested_at": request.detected_at,
            "sent_at": answered.map(|it| &it.at),
            "answered": answered.map(|it| &it.detail),
            "not_sent": sent.filter(|it| it.outcome != "delivered").map(|it| &it.detail),
            "confirmed": self.confirmed.as_ref().map(|it| &it.kind),
            "confirmed_at": self.confirmed.as_ref().map(Confirmed::time),
            "confirmed_by": self.confirmed.as_ref().map(|it| &it.told_by),
        })
    }
}

impl Confirmed {
    fn time(&self) -> EventTime {
        EventTime::from_micros(self.at)
    }
}

fn why(outcome: &str) -> &'static str {
    match outcome {
        "withdrawn" => "withdrawn: dismissed, ended, or too late",
        "suppressed" => "suppressed; `keywatch alerts suppressions` lists what people suppress",
        _ => "kept quiet, since people had closed the incident",
    }
}

/// What people did, oldest first.
fn timeline(case: &Case) -> String {
    if case.course.steps.is_empty() {
        return "Nobody has acted on it yet.\n".to_owned();
    }
    let mut text = String::new();
    for (act, obstacle) in &case.course.steps {
        let (time, from) = (act.time, act.origin.words());
        let mut line = format!("{} {act} (from the {from})", act.who);
        if let Some(obstacle) = obstacle {
            line += &format!(", which had no effect, because it {obstacle}");
        }
        let _ = writeln!(text, "{time}  {}", visible(&line));
        for line in act.text.lines() {
            let _ = writeln!(text, "    {}", visible(line));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{AlertType, CloseReason, DetectorId};
    use crate::deliver::fixtures;
    use crate::workflow::{Act, Course, Kind, Origin, Seen};

    fn act(case: &[Alert], second: i64, who: &str, kind: Kind) -> Act {
        Act {
            incident: "al_6f1d2c9b0a7e4453".into(),
            id: format!("act_{second}"),
            time: EventTime::from_seconds(second),
            who: who.into(),
            origin: Origin::CommandLine,
            kind,
            reason: kind.closes().then_some(CloseReason::FalseTravel),
            assignee: None,
            text: "on a flight\nsays \u{202e}the owner".into(),
            seen: Seen::of(&case[0]),
            quiet_seconds: 3_600,
        }
    }

    #[test]
    fn an_incident_is_shown_with_what_people_did_safely_and_visibly() {
        let revisions = vec![fixtures::alert("impossible_travel")];
        let acts = vec![
            act(&revisions, 10, "alice", Kind::Dismiss),
            act(&revisions, 11, "bob", Kind::Acknowledge),
        ];
        let case = Case { revisions, course: Course::of(acts) };
        let unsent = [Unsent { outcome: "kept_quiet".into(), revisions: 2 }];
        let text = in_words("al_6f1d2c9b0a7e4453", &case, &unsent, &Way::default());
        for words in [
            "  state       closed: dismissed as false_travel by alice at 1970-01-01T00:00:10",
            "  not sent    2 revisions kept quiet",
            "1970-01-01T00:00:10.000000Z  alice dismissed it as false_travel (from the command line)",
            "    says ⟨U+202E⟩the owner",
            "bob acknowledged it (from the command line), which had no effect, because it was \
             dismissed as false_travel by alice",
        ] {
            assert!(text.contains(words), "no {words} in\n{text}");
        }
        let json = as_json(&case, &unsent, &Way::default());
        assert_eq!(json["state"], "closed");
        assert_eq!(json["not_sent"]["kept_quiet"], 2);
        assert_eq!(json["acts"][1]["has_effect"], false);
    }

    #[test]
    fn an_incident_that_evidence_has_reopened_says_so() {
        let first = fixtures::alert("impossible_travel");
        let mut second = first.clone();
        (second.revision, second.alert_type) = (2, AlertType::Updated);
        second.detectors.push(DetectorId::DuplicateNonce);
        let acts = vec![act(std::slice::from_ref(&first), 10, "alice", Kind::Dismiss)];
        let case = Case { revisions: vec![first, second], course: Course::of(acts) };
        let text = in_words("x", &case, &[], &Way::default());
        assert!(text.contains("open again by new evidence, after it was dismissed"), "{text}");
    }
}
