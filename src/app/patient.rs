//! Queries the store for the pipeline and waits while ClickHouse is away. The service reports that
//! it is alive during the wait.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::interval;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::store::{Store, StoreError};
use crate::telemetry::{Fit, Health, Part};

/// Heartbeat interval during a wait.
const PULSE: Duration = Duration::from_secs(1);

pub struct PatientStore {
    store: Arc<Store>,
    health: Health,
}

impl PatientStore {
    pub fn new(store: Arc<Store>, health: Health) -> Self {
        Self { store, health }
    }

    pub fn note_fit(&self, fit: Fit) {
        self.health.note_fit(fit);
    }

    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Repeats a query until ClickHouse answers.
    ///
    /// # Errors
    /// Errors that a retry cannot fix.
    pub async fn ask<'a, T, Answer>(
        &'a self,
        mut question: impl FnMut(&'a Store) -> Answer,
    ) -> Result<T, StoreError>
    where
        Answer: Future<Output = Result<T, StoreError>>,
    {
        self.beat_during(self.store.until_available(|| question(&self.store))).await
    }

    /// Sends heartbeats while `work` runs. Waiting for a server does not count as hanging.
    pub async fn beat_during<T>(&self, work: impl Future<Output = T>) -> T {
        let mut pulse = interval(PULSE);
        tokio::pin!(work);
        loop {
            tokio::select! {
                outcome = &mut work => return outcome,
                _ = pulse.tick() => {
                    self.health.beat();
                    if let Some(reason) = self.store.trouble() {
                        self.health.waiting(Part::ClickHouse, reason);
                    }
                }
            }
        }
    }

    /// Sends heartbeats until the result is dropped.
    pub fn beat_until_dropped(&self) -> DropGuard {
        let (health, stop) = (self.health.clone(), CancellationToken::new());
        let beats = async move {
            let mut pulse = interval(PULSE);
            loop {
                pulse.tick().await;
                health.beat();
            }
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(beats));
        stop.drop_guard()
    }

    /// Sends a heartbeat and reports which parts work.
    pub fn report(&self, source_trouble: Option<String>) {
        self.health.beat();
        let parts = [(Part::Source, source_trouble), (Part::ClickHouse, self.store.trouble())];
        for (part, trouble) in parts {
            match trouble {
                Some(reason) => self.health.waiting(part, reason),
                None => self.health.ready(part),
            }
        }
    }
}
