//! Requests the proposed revocations within the budget of the whole installation.
//!
//! One task in each process reads the proposals of all processes once a second. It first stores a
//! request in `revocation_requests` under the next number, then stores its alert and sends it to
//! the channels. Any process finishes a request that another one has begun.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::announce::publish_missing;
use crate::alert::Alert;
use crate::config::Config;
use crate::deliver::Outbox;
use crate::respond::{self, Decision, Rules};
use crate::store::{Store, StoreError};
use crate::workflow::withdraws;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Any process publishes a request of another process that has no alert after this time.
const TAKEOVER_SECONDS: f64 = 10.0;

/// The running task; a dry run has none.
pub struct Responder {
    task: Option<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Responder {
    pub fn start(config: &Config, store: &Arc<Store>, outbox: &Arc<Outbox>) -> Self {
        let (rules, stop) = (Rules::new(&config.policy), CancellationToken::new());
        let task = (!rules.is_dry_run()).then(|| {
            let (store, outbox) = (Arc::clone(store), Arc::clone(outbox));
            tokio::spawn(Desk::new(store, outbox, rules).run(stop.clone()))
        });
        Self { task, stop }
    }

    /// Reads the proposals once more. Proposals for which the time is too short are requested at
    /// the next start or by another process.
    pub async fn finish(self, within: Duration) {
        self.stop.cancel();
        let Some(mut task) = self.task else { return };
        if timeout(within, &mut task).await.is_err() {
            task.abort();
            // The task holds the outbox. The abort was intended, so its error is ignored.
            let _ = task.await;
        }
    }
}

struct Desk {
    store: Arc<Store>,
    outbox: Arc<Outbox>,
    rules: Rules,
    /// Proposals without budget at the last look.
    waiting: usize,
    /// Proposals of dismissed incidents at the last look.
    withdrawn: usize,
}

impl Desk {
    fn new(store: Arc<Store>, outbox: Arc<Outbox>, rules: Rules) -> Self {
        Self { store, outbox, rules, waiting: 0, withdrawn: 0 }
    }

    async fn run(mut self, stop: CancellationToken) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_last = false;
        while !is_last {
            tokio::select! {
                _ = looks.tick() => {}
                () = stop.cancelled() => is_last = true,
            }
            let patience = if is_last { 0.0 } else { TAKEOVER_SECONDS };
            // The next look reads everything from the tables again.
            if let Err(error) = self.look(patience).await {
                debug!(%error, "the proposed revocations could not be read");
            }
        }
    }

    async fn look(&mut self, takeover_seconds: f64) -> Result<(), StoreError> {
        let mut last_number = 0;
        loop {
            let ledger = self.store.revocation_ledger().await?;
            let proposals = self.undismissed(self.store.revocation_proposals().await?).await?;
            let budget = self.rules.budget(ledger.spent);
            let decision = respond::decide(&proposals, &self.rules, &budget, ledger.now);
            let Some(proposal) = decision.grant else {
                self.note_waiting(&decision);
                break;
            };
            // A number that is taken and has no row was lost with its server. It is skipped.
            last_number = ledger.next_number.max(last_number + 1);
            let request = respond::request(proposal, ledger.now);
            self.store.request_revocation(last_number, &request).await?;
        }
        self.publish_requests(takeover_seconds).await
    }

    /// Leaves out the proposals of incidents that people have dismissed. The acts are read after the
    /// proposals, and are news for the lanes too.
    async fn undismissed(&mut self, proposals: Vec<Alert>) -> Result<Vec<Alert>, StoreError> {
        let ids: Vec<&str> = proposals.iter().map(|alert| alert.id.as_str()).collect();
        let casebook = self.outbox.casebook();
        casebook.learn(self.store.acts_of(&ids).await?);
        let is_dismissed = |alert: &Alert| {
            casebook.standing(&alert.id).is_some_and(|standing| withdraws(&standing, alert))
        };
        let (dismissed, rest): (Vec<_>, Vec<_>) = proposals.into_iter().partition(is_dismissed);
        gauge!("keywatch_revocations_withdrawn").set(dismissed.len() as f64);
        if dismissed.len() > self.withdrawn {
            info!(withdrawn = dismissed.len(), "proposed revocations of dismissed incidents");
        }
        self.withdrawn = dismissed.len();
        Ok(rest)
    }

    /// Publishes requests as alerts. The row of a request comes before its effect: a process that
    /// dies in between has spent the budget, and other processes do the rest.
    async fn publish_requests(&self, takeover_seconds: f64) -> Result<(), StoreError> {
        for request in self.store.untold_requests().await? {
            if request.is_own || request.age_seconds > takeover_seconds {
                let (id, age_seconds) = (request.alert.id.clone(), request.age_seconds);
                if publish_missing(&self.store, &self.outbox, vec![request.alert]).await? > 0 {
                    info!(id, age_seconds, is_own = request.is_own, "a revocation is requested");
                }
            }
        }
        Ok(())
    }

    fn note_waiting(&mut self, decision: &Decision<'_>) {
        let waiting = decision.waiting;
        gauge!("keywatch_revocations_waiting").set(waiting as f64);
        if waiting > self.waiting
            && let Some(restraint) = decision.restraint
        {
            warn!(waiting, restraint = restraint.as_str(), "proposed revocations wait for budget");
        }
        self.waiting = waiting;
    }
}
