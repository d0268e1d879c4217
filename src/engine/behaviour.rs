//! Judges and learns a key's window of behaviour when the window ends.

use crate::alert::{Ceiling, DetectorId};
use crate::decide::{Decider, Subject};
use crate::detect::calibration::{self, Calibration};
use crate::detect::outlier::drift::Drift;
use crate::detect::outlier::{self, Against, Model};
use crate::detect::unconfirmed::{Kind, Unconfirmed};
use crate::detect::{Family, Signal, Thresholds};
use crate::event::{EnrichedEvent, EventTime};
use crate::profile::Profile;
use crate::profile::behaviour::{Baseline, BehaviourProfile, Ended, Statistics, WINDOW_SECONDS};
use crate::profile::client::ClientProfile;
use crate::profile::scores::WorstScores;

use super::fleet::Fleet;
use super::inspection::at_home;
use super::request::OWN_MACHINE;

/// Least p-value of strange hours until they add up to [`LASTING`]. The model knows how often hours
/// are strange in the fleet that it was trained on, and fleets differ more than that: on the traffic
/// of four other authors a key had a strange hour without any attack once in about 800 days.
const LEAST: f64 = 1e-4;
/// Surprise of successive strange hours, in nats, that few owners reach.
const LASTING: f32 = 60.0;

/// The parts of the shard that judge a window.
pub(super) struct Bench<'a> {
    pub model: &'a Model,
    pub calibration: &'a Calibration,
    pub unconfirmed: &'a Unconfirmed,
    pub thresholds: &'a Thresholds,
    pub decider: &'a Decider,
    pub fleet: &'a Fleet,
    pub drift: &'a mut Drift,
}

/// The result for a window that has ended.
#[derive(Default)]
pub(super) struct WindowJudgement {
    /// Its p-value is below the threshold, whether or not the incident already holds it.
    pub is_unusual: bool,
    /// It resembles the key's habit more than its usual past.
    pub is_habit: bool,
    pub signal: Option<Signal>,
}

impl Bench<'_> {
    /// Judges and learns the window that ended before the event, if one did.
    ///
    /// The caller must do this before it ends the hour of the scores. The window and that hour are
    /// the same, and the window's score belongs to it.
    pub fn end_window(
        mut self,
        enriched: &EnrichedEvent,
        profile: &mut Profile,
    ) -> WindowJudgement {
        let Some(ended) = profile.behaviour.end_before(enriched.event.time) else {
            return WindowJudgement::default();
        };
        if self.fleet.was_disturbed(ended.statistics.index) {
            profile.behaviour.pass(&ended.statistics);
            return WindowJudgement::default();
        }
        let verdict = self.judge(enriched, &ended, profile);
        if verdict.is_unusual {
            profile.scores.exclude_current();
        }
        self.learn(&ended, &verdict, &mut profile.behaviour);
        verdict
    }

    /// Learns the window as usual, as a habit, or not at all. Reported windows become a habit when
    /// they come again, unless there was evidence of theft in them.
    fn learn(&self, ended: &Ended, verdict: &WindowJudgement, behaviour: &mut BehaviourProfile) {
        let statistics = &ended.statistics;
        if ended.is_tainted {
            behaviour.pass(statistics);
        } else if verdict.is_unusual || ended.is_suspected {
            let resembles = |past: &Baseline| outlier::resembles(self.model, past, statistics);
            behaviour.set_aside(statistics, resembles);
        } else if verdict.is_habit {
            behaviour.learn_habit(statistics);
        } else {
            behaviour.learn(statistics);
        }
    }

    fn judge(
        &mut self,
        enriched: &EnrichedEvent,
        ended: &Ended,
        profile: &mut Profile,
    ) -> WindowJudgement {
        let behaviour = &mut profile.behaviour;
        let (model, statistics) = (self.model, &ended.statistics);
        let Some(mut judgement) = outlier::judge(model, behaviour, statistics) else {
            return WindowJudgement::default();
        };
        self.drift.note(model, judgement.own_features(), statistics);
        let is_habit = judgement.against == Against::Habit;
        if judgement.against != Against::Peers {
            behaviour.run = judgement.run;
        }
        let mut scores = WorstScores::default();
        calibration::note(&mut scores, Family::Behaviour, judgement.p_value);
        profile.scores.add(scores);
        judgement.p_value = self.calibration.p_value(Family::Behaviour, judgement.p_value);
        if judgement.p_value >= self.thresholds.behaviour {
            return WindowJudgement { is_habit, ..WindowJudgement::default() };
        }
        let ceiling = ceiling(&profile.clients, statistics);
        // The event that ended the window stands for it: places that are new to the key have other
        // evidence.
        let ordinary = Kind::of(DetectorId::BehaviourOutlier).and_then(|kind| {
            at_home(self.unconfirmed, profile, enriched, kind, self.thresholds.ordinary)
        });
        // Hours against peers do not add up, so that each stands for itself.
        let may_add_up = judgement.against != Against::Peers && judgement.run.sum < LASTING;
        let least = if may_add_up { LEAST } else { 0.0 };
        judgement.p_value = judgement.p_value.max(ordinary.unwrap_or(0.0)).max(least);
        let subject = Subject::Key(enriched.event.key_id.clone());
        let news_below = self.decider.news_below(&subject, DetectorId::BehaviourOutlier, ceiling);
        let is_news = judgement.p_value <= news_below;
        let behaviour = &profile.behaviour;
        let baseline = if is_habit { behaviour.habit() } else { behaviour.baseline() };
        let signal = || judgement.into_signal(model, baseline, statistics);
        let signal = is_news.then(|| Signal { ceiling, ..signal() });
        WindowJudgement { is_unusual: true, is_habit, signal }
    }
}

/// A new program on the key's own machine explains the hours of its first day.
fn ceiling(clients: &ClientProfile, statistics: &Statistics) -> Option<Ceiling> {
    let end = EventTime::from_seconds((i64::from(statistics.index) + 1) * WINDOW_SECONDS);
    if clients.is_deployed(end) { OWN_MACHINE } else { None }
}
