//! Whether the process is alive, and whether it can do its work.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// A pipeline that has not beaten for this long hangs. Waiting for a server does
/// not count as hanging: whoever waits beats at every try.
pub const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// What the pipeline cannot work without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Source,
    ClickHouse,
}

/// Shared by the pipeline, which reports, and the HTTP endpoints, which answer.
#[derive(Clone)]
pub struct Health(Arc<Mutex<State>>);

struct State {
    last_beat: Instant,
    /// What each part is waited for; parts that work are `None`.
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
    /// What is waited for, by part; empty when ready.
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
        Self(Arc::new(Mutex::new(State { last_beat: now, waiting })))
    }

    /// The pipeline goes round. Called at every turn, and at every try of a wait.
    pub fn beat(&self) {
        self.beat_at(Instant::now());
    }

    /// `part` does its work.
    pub fn ready(&self, part: Part) {
        self.lock().waiting.insert(part, None);
    }

    /// `part` is waited for. `reason` is public: no secrets.
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

    fn beat_at(&self, now: Instant) {
        self.lock().last_beat = now;
    }

    fn liveness_at(&self, now: Instant) -> Liveness {
        let silence = now.saturating_duration_since(self.lock().last_beat);
        Liveness { alive: silence <= LONGEST_SILENCE, seconds_since_beat: silence.as_secs_f64() }
    }

    // Every change is one assignment, so a panic elsewhere cannot leave it half made.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_alive_until_the_beat_stops() {
        let start = Instant::now();
        let health = Health::starting_at(start);
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
