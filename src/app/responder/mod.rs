//! Requests the proposed suspensions and revocations, within the limits of the whole installation.
//!
//! One task in each process reads the proposals of all processes once a second. It first stores a
//! request in `revocation_requests` under the next number, then stores its alert and sends it to
//! the channels. Any process finishes a request that another one has begun. An incident whose
//! proposal waits says so in a revision of its own.

mod breakers;
mod confirm;
mod desk;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use self::desk::Desk;
use crate::config::Config;
use crate::deliver::Outbox;
use crate::respond::Rules;
use crate::store::Store;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Any process publishes after this time what another process has left undone.
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
            tokio::spawn(run(Desk::new(store, outbox, rules), stop.clone()))
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

async fn run(mut desk: Desk, stop: CancellationToken) {
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
        if let Err(error) = desk.look(patience).await {
            debug!(%error, "the proposed requests could not be read");
        }
    }
}
