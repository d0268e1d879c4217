//! Decides what happens to an alert of an incident that people have handled.

use super::act::Seen;
use super::standing::{Beyond, Closing, Held, Standing};
use crate::alert::{Alert, AlertType, Handling, IncidentState};

/// What happens to one revision of an incident.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict<'a> {
    Deliver,
    /// The evidence goes beyond the closing: the incident is open again, and the alert says so.
    Reopens(&'a Closing, Beyond),
    /// New evidence of the same kind, within the quiet time.
    KeepQuiet(&'a Closing),
    /// A request about the key of a dismissed incident.
    Withdraw(&'a Closing),
}

/// Judges a revision by what people did. It depends on the acts and the revision alone, and so a
/// retry after a restart gives the same result.
pub fn judge<'a>(standing: &'a Standing, alert: &Alert) -> Verdict<'a> {
    let Some(closing) = standing.closing() else { return Verdict::Deliver };
    let beyond = closing.beyond(&Seen::of(alert));
    match alert.alert_type {
        // The receiver must hear of the end of what it was told about.
        AlertType::Resolved => Verdict::Deliver,
        kind if kind.is_request() && withdraws(standing, alert) => Verdict::Withdraw(closing),
        AlertType::RevocationRequested | AlertType::SuspensionRequested => Verdict::Deliver,
        AlertType::Opened | AlertType::Updated => match beyond {
            Some(beyond) => Verdict::Reopens(closing, beyond),
            None => Verdict::KeepQuiet(closing),
        },
    }
}

/// Whether people have dismissed the incident, with knowledge of this evidence or of its kind.
/// Nothing is then to happen to its key.
pub fn withdraws(standing: &Standing, alert: &Alert) -> bool {
    standing.closing().is_some_and(|closing| {
        let is_dismissed = closing.reason.is_some_and(|reason| !reason.confirms());
        is_dismissed && closing.beyond(&Seen::of(alert)).is_none()
    })
}

/// The alert as receivers get it: with the state of its incident, and with a sentence if it reopens
/// the incident.
pub fn annotated(standing: &Standing, alert: &Alert) -> Alert {
    let mut told = Alert { handling: handling(standing, alert), ..alert.clone() };
    if let Verdict::Reopens(closing, beyond) = judge(standing, alert) {
        told.explanation =
            format!("{} It was {closing} and is open again, because {beyond}.", alert.explanation);
    }
    told
}

fn handling(standing: &Standing, alert: &Alert) -> Handling {
    let assignee = standing.assignee.clone();
    let is_touched = standing.held != Held::Untouched;
    let owner_said = standing.owner.clone();
    let mut handling = Handling { assignee, owner_said, ..alert.handling.clone() };
    match judge(standing, alert) {
        Verdict::Reopens(closing, _) => {
            handling.state = Some(IncidentState::Open);
            handling.reopened_after = Some(closing.at);
        }
        _ if is_touched => {
            let alone = std::slice::from_ref(alert);
            handling.state = Some(standing.state(alone));
            handling.close_reason = standing.closing_in_force(alone).and_then(|it| it.reason);
        }
        _ => {}
    }
    handling
}

#[cfg(test)]
mod tests {
    use super::super::standing::tests::{act, at, seen};
    use super::super::{Act, Course, Kind};
    use super::*;
    use crate::alert::{CloseReason, DetectorId, Severity};
    use crate::deliver::fixtures;

    fn closed(kind: Kind, reason: CloseReason) -> Standing {
        let closing = Act {
            reason: Some(reason),
            quiet_seconds: 3_600,
            seen: seen(3, Severity::High, &[DetectorId::RateSpike]),
            ..act("x", 100, kind)
        };
        Course::of(vec![closing]).standing
    }

    fn alert(alert_type: AlertType, revision: u32, second: i64) -> Alert {
        Alert {
            alert_type,
            revision,
            severity: Severity::High,
            detectors: vec![DetectorId::RateSpike],
            detected_at: at(second),
            ..fixtures::alert("impossible_travel")
        }
    }

    fn word(standing: &Standing, alert: &Alert) -> &'static str {
        match judge(standing, alert) {
            Verdict::Deliver => "deliver",
            Verdict::Reopens(..) => "reopens",
            Verdict::KeepQuiet(_) => "quiet",
            Verdict::Withdraw(_) => "withdraw",
        }
    }

    #[test]
    fn the_same_kind_of_evidence_is_quiet_for_a_time_and_anything_beyond_reopens() {
        let standing = closed(Kind::Dismiss, CloseReason::FalseTravel);
        let again = |second| alert(AlertType::Updated, 4, second);
        assert_eq!(word(&standing, &again(200)), "quiet");
        assert_eq!(word(&standing, &again(3_701)), "reopens", "the quiet time is over");
        let worse = Alert { severity: Severity::Critical, ..again(200) };
        assert_eq!(word(&standing, &worse), "reopens");
        let milder = Alert { severity: Severity::Low, ..again(200) };
        assert_eq!(word(&standing, &milder), "quiet");
        let detectors = vec![DetectorId::DuplicateNonce, DetectorId::RateSpike];
        assert_eq!(word(&standing, &Alert { detectors, ..again(200) }), "reopens");
    }

    #[test]
    fn what_the_author_of_the_closing_knew_stays_quiet_for_ever() {
        let standing = closed(Kind::Confirm, CloseReason::Theft);
        assert_eq!(word(&standing, &alert(AlertType::Opened, 1, 9_000_000)), "quiet");
        assert_eq!(word(&standing, &alert(AlertType::Updated, 3, 9_000_000)), "quiet");
    }

    #[test]
    fn a_request_to_revoke_is_withdrawn_by_a_dismissal_and_not_by_a_confirmation() {
        let request = alert(AlertType::RevocationRequested, 4, 150);
        for (kind, reason, expected) in [
            (Kind::Dismiss, CloseReason::Test, "withdraw"),
            (Kind::Dismiss, CloseReason::Duplicate, "withdraw"),
            (Kind::Confirm, CloseReason::Theft, "deliver"),
            (Kind::Confirm, CloseReason::MisuseByOwner, "deliver"),
        ] {
            assert_eq!(word(&closed(kind, reason), &request), expected, "{reason}");
        }
        let new = Alert { detectors: vec![DetectorId::DuplicateNonce], ..request };
        assert_eq!(word(&closed(Kind::Dismiss, CloseReason::Test), &new), "deliver");
    }

    #[test]
    fn the_end_of_an_incident_is_told_and_untouched_incidents_are_delivered_as_they_are() {
        let standing = closed(Kind::Dismiss, CloseReason::Test);
        assert_eq!(word(&standing, &alert(AlertType::Resolved, 5, 200)), "deliver");
        let opened = alert(AlertType::Opened, 1, 200);
        assert_eq!(annotated(&Standing::default(), &opened), opened);
    }

    #[test]
    fn an_alert_that_reopens_says_who_closed_the_incident_and_why_it_is_open_again() {
        let standing = closed(Kind::Dismiss, CloseReason::FalseTravel);
        let detectors = vec![DetectorId::DuplicateNonce, DetectorId::RateSpike];
        let told = annotated(&standing, &Alert { detectors, ..alert(AlertType::Updated, 4, 200) });
        assert!(
            told.explanation.ends_with(
                "It was dismissed as false_travel by who at 1970-01-01T00:01:40.000000Z and is \
                 open again, because replay.duplicate_nonce is evidence of a new kind."
            ),
            "{}",
            told.explanation
        );
        assert_eq!(told.handling.state, Some(IncidentState::Open));
        assert_eq!(told.handling.reopened_after, Some(at(100)));
    }

    #[test]
    fn an_alert_carries_state_and_assignee() {
        let assigned = Act { assignee: Some("bob".into()), ..act("b", 90, Kind::Assign) };
        let course = Course::of(vec![act("a", 80, Kind::Acknowledge), assigned]);
        let told = annotated(&course.standing, &alert(AlertType::Updated, 4, 200));
        assert_eq!(told.handling.state, Some(IncidentState::Acknowledged));
        assert_eq!(told.handling.assignee.as_deref(), Some("bob"));
        let standing = closed(Kind::Confirm, CloseReason::Theft);
        let told = annotated(&standing, &alert(AlertType::Resolved, 4, 200));
        assert_eq!(told.handling.close_reason, Some(CloseReason::Theft));
    }
}
