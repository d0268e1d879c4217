//! Tracks whether the process is alive and whether it can do its work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;

/// A pipeline without a heartbeat for this long is considered stuck. Waiting for a server is not:
/// the pipeline beats at every retry.
pub const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// A process that does not run for this long was paused.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A part that the pipeline depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Source,
    ClickHouse,
}

/// The state of health. The pipeline reports to it, and the HTTP endpoints read it.
#[derive(Clone)]
pub struct Health(Arc<Mutex<State>>);

/// How well the model fits the traffic of this process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fit {
    /// The model in use. Empty until the pipeline has begun.
    pub model_version: String,
    /// Empty before the first hour of behaviour, and without a model of it.
    pub drift: Vec<Drifted>,
}

/// The drift of one feature of behaviour.
#[derive(Clone, Debug, PartialEq)]
pub struct Drifted {
    /// `own`: against the key's past; `peers`: against other keys.
    pub against: &'static str,
    pub words: &'static str,
    /// Population stability index; above 0.25 the feature has drifted.
    pub stability_index: f64,
    /// Hours of keys that were counted.
    pub windows: u32,
}

struct State {
    fit: Fit,
    last_beat: Instant,
    /// When the process was last seen running.
    last_look: Instant,
    /// The reason why each part is not ready; `None` for parts that are.
    waiting: BTreeMap<Part, Option<String>>,
}

/// Body of `/healthz`.
#[derive(Debug, PartialEq, Serialize)]
pub struct Liveness {
    pub alive: bool,
    pub seconds_since_beat: f64,
}

/// Body of `/readyz`.
#[derive(Debug, PartialEq, Serialize)]
pub struct Readiness {
    pub ready: bool,
    /// The reason for each part that is not ready; empty if all are ready.
    pub waiting: BTreeMap<Part, String>,
}

impl Default for Health {
    fn default() -> Self {
        Self::starting_at(Instant::now())
    }
}

impl Health {
    fn starting_at(now: Instant) -> Self {
        let not_yet = || Some("not connected yet".to_owned());
        let waiting = BTreeMap::from([(Part::Source, not_yet()), (Part::ClickHouse, not_yet())]);
        Self(Arc::new(Mutex::new(State {
            fit: Fit::default(),
            last_beat: now,
            last_look: now,
            waiting,
        })))
    }

    /// Records that the pipeline makes progress. The pipeline calls it at every turn, and at every
    /// retry while it waits.
    pub fn beat(&self) {
        self.beat_at(Instant::now());
    }

    /// Records that `part` is ready.
    pub fn ready(&self, part: Part) {
        self.lock().waiting.insert(part, None);
    }

    /// Records that the pipeline waits for `part`. `reason` is public: it must hold no secrets.
    pub fn waiting(&self, part: Part, reason: impl Into<String>) {
        self.lock().waiting.insert(part, Some(reason.into()));
    }

    pub fn liveness(&self) -> Liveness {
        self.liveness_at(Instant::now())
    }

    pub fn readiness(&self) -> Readiness {
        let waiting: BTreeMap<Part, String> = self
            .lock()
            .waiting
            .iter()
            .filter_map(|(part, reason)| Some((*part, reason.clone()?)))
            .collect();
        Readiness { ready: waiting.is_empty(), waiting }
    }

    /// Records how well the model fits.
    pub fn note_fit(&self, fit: Fit) {
        self.lock().fit = fit;
    }

    pub fn fit(&self) -> Fit {
        self.lock().fit.clone()
    }

    fn beat_at(&self, now: Instant) {
        self.lock().last_beat = now;
    }

    /// Notes that the process runs; called once a second by another task than the pipeline.
    pub fn look(&self) {
        self.look_at(Instant::now());
    }

    /// A process that was stopped or had no machine has missed looks as well as beats. It needs no
    /// restart but the time until its next beat.
    fn look_at(&self, now: Instant) {
        let mut state = self.lock();
        if now.saturating_duration_since(state.last_look) > LONGEST_PAUSE {
            state.last_beat = now;
        }
        state.last_look = now;
    }

    fn liveness_at(&self, now: Instant) -> Liveness {
        self.look_at(now);
        let silence = now.saturating_duration_since(self.lock().last_beat);
        Liveness { alive: silence <= LONGEST_SILENCE, seconds_since_beat: silence.as_secs_f64() }
    }

    // Every change is one assignment, so a panic elsewhere cannot leave the state inconsistent.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_alive_until_the_beat_stops() {
        let start = Instant::now();
        let health = Health::starting_at(start);
        let run_until = |end: Instant| {
            let steps = (1..).map(|step| start + step * Duration::from_secs(1));
            steps.take_while(|now| *now < end).for_each(|now| health.look_at(now));
        };
        run_until(start + LONGEST_SILENCE);
        assert!(health.liveness_at(start + LONGEST_SILENCE).alive);
        let late = start + LONGEST_SILENCE + Duration::from_secs(1);
        assert_eq!(
            health.liveness_at(late),
            Liveness { alive: false, seconds_since_beat: LONGEST_SILENCE.as_secs_f64() + 1.0 }
        );
        health.beat_at(late);
        assert!(health.liveness_at(late).alive);
    }

    #[test]
    fn a_process_that_was_paused_is_alive() {
        let start = Instant::now();
        let health = Health::starting_at(start);
        assert!(health.liveness_at(start + 3 * LONGEST_SILENCE).alive);
    }

    #[test]
    fn is_ready_when_every_part_is() {
        let health = Health::default();
        assert!(!health.readiness().ready);
        health.ready(Part::Source);
        assert!(!health.readiness().ready);
        health.ready(Part::ClickHouse);
        assert_eq!(health.readiness(), Readiness { ready: true, waiting: BTreeMap::new() });
    }

    #[test]
    fn says_what_it_waits_for_and_recovers() {
        let health = Health::default();
        health.ready(Part::Source);
        health.ready(Part::ClickHouse);
        health.waiting(Part::ClickHouse, "connection refused");
        let readiness = health.readiness();
        assert!(!readiness.ready);
        assert_eq!(
            readiness.waiting,
            BTreeMap::from([(Part::ClickHouse, "connection refused".to_owned())])
        );
        health.ready(Part::ClickHouse);
        assert!(health.readiness().ready);
    }
}
