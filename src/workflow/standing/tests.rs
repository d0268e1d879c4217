use proptest::prelude::*;
use strum::VariantArray;

use super::*;
use crate::deliver::fixtures;
use crate::workflow::Origin;

pub fn at(second: i64) -> EventTime {
    EventTime::from_seconds(second)
}

pub fn seen(revision: u32, severity: Severity, detectors: &[DetectorId]) -> Seen {
    let action = crate::alert::Action::Revoke;
    Seen { revision, at: at(0), severity, action, detectors: detectors.to_vec() }
}

pub fn act(id: &str, second: i64, kind: Kind) -> Act {
    Act {
        incident: "inc".into(),
        id: id.into(),
        time: at(second),
        who: "who".into(),
        origin: Origin::CommandLine,
        kind,
        reason: match kind {
            Kind::Confirm => Some(CloseReason::Theft),
            Kind::Dismiss => Some(CloseReason::Test),
            _ => None,
        },
        assignee: (kind == Kind::Assign).then(|| "somebody".into()),
        text: String::new(),
        seen: seen(1, Severity::High, &[DetectorId::RateSpike]),
        quiet_seconds: if kind.closes() { 3_600 } else { 0 },
    }
}

fn by(who: &str, act: Act) -> Act {
    Act { who: who.into(), ..act }
}

fn revision(alert_type: AlertType, revision: u32, detectors: &[DetectorId]) -> Alert {
    Alert {
        alert_type,
        revision,
        severity: Severity::High,
        detectors: detectors.to_vec(),
        detected_at: at(0),
        ..fixtures::alert("impossible_travel")
    }
}

const SPIKE: &[DetectorId] = &[DetectorId::RateSpike];
const MORE: &[DetectorId] = &[DetectorId::DuplicateNonce, DetectorId::RateSpike];

/// The state after each of the acts.
fn states(acts: &[Act], revisions: &[Alert]) -> Vec<IncidentState> {
    let after = |count| Course::of(acts[..count].to_vec()).standing.state(revisions);
    (0..=acts.len()).map(after).collect()
}

#[test]
fn an_incident_goes_from_open_to_acknowledged_to_closed_and_back() {
    use IncidentState::{Acknowledged, Closed, Open};
    let kinds = [Kind::Acknowledge, Kind::Comment, Kind::Assign, Kind::Dismiss, Kind::Reopen];
    let acts: Vec<_> =
        kinds.iter().zip(1..).map(|(kind, n)| act(&n.to_string(), n, *kind)).collect();
    let expected = [Open, Acknowledged, Acknowledged, Acknowledged, Closed, Open];
    assert_eq!(states(&acts, &[revision(AlertType::Opened, 1, SPIKE)]), expected);
}

#[test]
fn an_incident_that_nobody_holds_is_closed_when_its_evidence_ends() {
    let ended = [revision(AlertType::Opened, 1, SPIKE), revision(AlertType::Resolved, 2, SPIKE)];
    let state = |acts: &[Act]| Course::of(acts.to_vec()).standing.state(&ended);
    assert_eq!(state(&[]), IncidentState::Closed);
    assert_eq!(state(&[act("a", 1, Kind::Acknowledge)]), IncidentState::Acknowledged);
    assert_eq!(state(&[act("a", 1, Kind::Reopen)]), IncidentState::Open);
    let closed = Course::of(vec![act("a", 1, Kind::Dismiss)]).standing;
    assert_eq!(closed.closing_in_force(&ended).map(|it| it.who.as_str()), Some("who"));
}

#[test]
fn of_two_people_who_close_at_once_the_first_counts_and_the_second_is_told() {
    let acts = vec![
        by("bob", act("2", 10, Kind::Dismiss)),
        // The same microsecond: the id decides.
        by("alice", act("1", 10, Kind::Confirm)),
    ];
    let course = Course::of(acts);
    let closing = course.standing.closing().map(|closing| (closing.who.as_str(), closing.reason));
    assert_eq!(closing, Some(("alice", Some(CloseReason::Theft))));
    let (late, obstacle) = &course.steps[1];
    assert_eq!(late.who, "bob");
    let told = obstacle.as_ref().map(ToString::to_string);
    assert_eq!(
        told.as_deref(),
        Some("was confirmed as theft by alice at 1970-01-01T00:00:10.000000Z")
    );
}

#[test]
fn a_closed_incident_is_neither_acknowledged_nor_assigned_and_may_be_commented_on() {
    let mut acts = vec![act("1", 1, Kind::Dismiss)];
    acts.extend([Kind::Acknowledge, Kind::Assign, Kind::Confirm].map(|kind| act("2", 2, kind)));
    for late in acts.split_off(1) {
        let course = Course::of([acts.clone(), vec![late]].concat());
        assert!(matches!(course.steps[1].1, Some(Obstacle::Closed(_))), "{course:#?}");
        assert_eq!(course.standing.assignee, None);
    }
    let course = Course::of([acts, vec![act("2", 2, Kind::Comment)]].concat());
    assert_eq!(course.steps[1].1, None);
}

#[test]
fn evidence_beyond_a_closing_reopens_and_can_be_closed_again_without_a_reopening() {
    let revisions = [revision(AlertType::Opened, 1, SPIKE), revision(AlertType::Updated, 2, MORE)];
    let first = act("1", 1, Kind::Dismiss);
    let standing = Course::of(vec![first.clone()]).standing;
    assert_eq!(standing.state(&revisions[..1]), IncidentState::Closed);
    assert_eq!(standing.state(&revisions), IncidentState::Open);
    assert_eq!(standing.closing_in_force(&revisions), None);

    let again = Act { seen: Seen::of(&revisions[1]), ..by("bob", act("2", 2, Kind::Confirm)) };
    let course = Course::of(vec![first, again]);
    assert_eq!(course.steps[1].1, None);
    assert_eq!(course.standing.state(&revisions), IncidentState::Closed);
}

#[test]
fn evidence_that_the_author_did_not_know_reopens_even_if_it_was_stored_before_the_closing() {
    let revisions = [revision(AlertType::Opened, 1, SPIKE), revision(AlertType::Updated, 2, MORE)];
    let late = act("1", 1_000, Kind::Dismiss);
    assert_eq!(Course::of(vec![late]).standing.state(&revisions), IncidentState::Open);
}

#[test]
fn the_end_of_an_incident_and_a_request_to_revoke_are_not_evidence() {
    let kinds = [AlertType::RevocationRequested, AlertType::Resolved];
    for alert_type in kinds {
        let revisions = [revision(AlertType::Opened, 1, SPIKE), revision(alert_type, 2, MORE)];
        let standing = Course::of(vec![act("1", 1, Kind::Dismiss)]).standing;
        assert_eq!(standing.state(&revisions), IncidentState::Closed);
        assert_eq!(Seen::latest(&revisions).map(|seen| seen.revision), Some(1));
    }
}

fn any_act() -> impl Strategy<Value = Act> {
    let kind = proptest::sample::select(Kind::VARIANTS);
    let severity = proptest::sample::select(Severity::ALL);
    (kind, 0i64..6, 0u8..40, 1u32..4, severity, any::<bool>()).prop_map(
        |(kind, second, id, revision, severity, is_more)| Act {
            seen: seen(revision, severity, if is_more { MORE } else { SPIKE }),
            ..by(&format!("person {id}"), act(&id.to_string(), second, kind))
        },
    )
}

/// One act for each id, as ids are unique.
fn distinct(mut acts: Vec<Act>) -> Vec<Act> {
    acts.sort_by(|a, b| a.id.cmp(&b.id));
    acts.dedup_by(|a, b| a.id == b.id);
    acts
}

proptest! {
    #[test]
    fn the_order_in_which_acts_are_read_and_repetitions_change_nothing(
        acts in prop::collection::vec(any_act(), 0..8).prop_map(distinct),
        rotation in 0usize..8,
    ) {
        let expected = Course::of(acts.clone());
        let mut others = acts.clone();
        others.reverse();
        others.rotate_left(rotation.min(acts.len()));
        others.extend(acts);
        prop_assert_eq!(Course::of(others), expected);
    }

    #[test]
    fn an_act_without_effect_can_be_left_out(
        acts in prop::collection::vec(any_act(), 0..8).prop_map(distinct),
    ) {
        let course = Course::of(acts);
        let took = course.steps.iter().filter(|(_, obstacle)| obstacle.is_none());
        let took: Vec<Act> = took.map(|(act, _)| act.clone()).collect();
        prop_assert_eq!(Course::of(took).standing, course.standing);
    }

    #[test]
    fn a_later_act_never_changes_what_an_earlier_one_was_told(
        acts in prop::collection::vec(any_act(), 1..8).prop_map(distinct),
    ) {
        let all = Course::of(acts);
        let but_last: Vec<Act> =
            all.steps[..all.steps.len() - 1].iter().map(|(act, _)| act.clone()).collect();
        let before = Course::of(but_last);
        prop_assert_eq!(&all.steps[..before.steps.len()], &before.steps[..]);
    }
}
