//! Judges and learns a key's window of behaviour when the window ends.

use crate::alert::DetectorId;
use crate::decide::{Decider, Subject};
use crate::detect::calibration::{self, Calibration};
use crate::detect::outlier::drift::Drift;
use crate::detect::outlier::{self, Against, Model};
use crate::detect::{Family, Signal, Thresholds};
use crate::event::AccessEvent;
use crate::profile::Profile;
use crate::profile::behaviour::Ended;
use crate::profile::scores::WorstScores;

use super::fleet::Fleet;

/// The parts of the shard that judge a window.
pub(super) struct Bench<'a> {
    pub model: &'a Model,
    pub calibration: &'a Calibration,
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
    pub signal: Option<Signal>,
}

impl Bench<'_> {
    /// Judges and learns the window that ended before the event, if one did.
    ///
    /// The caller must do this before it ends the hour of the scores. The window and that hour are
    /// the same, and the window's score belongs to it.
    pub fn end_window(mut self, event: &AccessEvent, profile: &mut Profile) -> WindowJudgement {
        let Some(ended) = profile.behaviour.end_before(event.time) else {
            return WindowJudgement::default();
        };
        if self.fleet.was_disturbed(ended.statistics.index) {
            profile.behaviour.pass(&ended.statistics);
            return WindowJudgement::default();
        }
        let verdict = self.judge(event, &ended, profile);
        if verdict.is_unusual {
            profile.scores.exclude_current();
        }
        if verdict.is_unusual || ended.is_suspected {
            profile.behaviour.pass(&ended.statistics);
        } else {
            profile.behaviour.learn(&ended.statistics);
        }
        verdict
    }

    fn judge(
        &mut self,
        event: &AccessEvent,
        ended: &Ended,
        profile: &mut Profile,
    ) -> WindowJudgement {
        let behaviour = &mut profile.behaviour;
        let (model, statistics) = (self.model, &ended.statistics);
        let judged = outlier::judge(model, behaviour.baseline(), behaviour.run, statistics);
        let Some(mut judgement) = judged else {
            return WindowJudgement::default();
        };
        self.drift.note(model, judgement.own_features(), statistics);
        if judgement.against == Against::Itself {
            behaviour.run = judgement.run;
        }
        let mut scores = WorstScores::default();
        calibration::note(&mut scores, Family::Behaviour, judgement.p_value);
        profile.scores.add(scores);
        judgement.p_value = self.calibration.p_value(Family::Behaviour, judgement.p_value);
        if judgement.p_value >= self.thresholds.behaviour {
            return WindowJudgement::default();
        }
        let subject = Subject::Key(event.key_id.clone());
        let news_below = self.decider.news_below(&subject, DetectorId::BehaviourOutlier, None);
        let is_news = judgement.p_value <= news_below;
        let baseline = profile.behaviour.baseline();
        let signal = is_news.then(|| judgement.into_signal(model, baseline, statistics));
        WindowJudgement { is_unusual: true, signal }
    }
}
