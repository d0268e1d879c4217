//! Looks at the proposals once: requests what may be requested, and tells what the others wait for.

use std::collections::HashMap;
use std::sync::Arc;

use metrics::gauge;
use tracing::{info, warn};

use super::breakers::Breakers;
use super::confirm;
use crate::alert::{Action, Alert, Restraint};
use crate::app::announce::publish_missing;
use crate::deliver::Outbox;
use crate::event::{EventTime, KeyId};
use crate::respond::{self, Approval, Breaker, Decision, KeyFacts, Rules};
use crate::store::{Proposal, RequestLedger, Store, StoreError};
use crate::workflow::{Seen, withdraws};

pub struct Desk {
    store: Arc<Store>,
    outbox: Arc<Outbox>,
    rules: Rules,
    breakers: Breakers,
    /// Facts about the keys of the current proposals, from before their incidents.
    facts: HashMap<KeyId, KeyFacts>,
    /// Proposals that waited at the last look.
    waiting: usize,
    /// Proposals that people had withdrawn at the last look.
    withdrawn: usize,
}

impl Desk {
    pub fn new(store: Arc<Store>, outbox: Arc<Outbox>, rules: Rules) -> Self {
        let (breakers, facts) = (Breakers::default(), HashMap::new());
        Self { store, outbox, rules, breakers, facts, waiting: 0, withdrawn: 0 }
    }

    /// `takeover_seconds` is the time after which this process does what another one left undone.
    ///
    /// # Errors
    /// [`StoreError`]; what was not done is done by a later look.
    pub async fn look(&mut self, takeover_seconds: f64) -> Result<(), StoreError> {
        let mut last_number = 0;
        loop {
            let ledger = self.store.revocation_ledger().await?;
            let proposals = self.not_withdrawn(self.store.proposals().await?).await?;
            self.learn_facts(&proposals).await?;
            let keys = self.breakers.keys_in_use(&self.store, &ledger.spent).await?;
            let RequestLedger { now, next_number, spent } = ledger;
            let budget = self.rules.budget(spent);
            let breakers = self.rules.breakers(&budget, keys, now);
            let alerts = proposals.iter().map(|proposal| &proposal.alert);
            let approval = |alert: &Alert| self.approval(alert);
            let decision = respond::decide(alerts, &self.rules, &budget, &breakers, approval, now);
            let Some(grant) = &decision.grant else {
                self.tell_waiting(&decision, &proposals, takeover_seconds, now).await?;
                self.note_waiting(&decision);
                self.tell_breakers(&breakers, takeover_seconds).await?;
                break;
            };
            // A number that is taken and has no row was lost with its server. It is skipped.
            last_number = next_number.max(last_number + 1);
            let request = self.rules.request(grant.proposal, now);
            let spent = respond::spent(grant, now);
            self.store.record_request(last_number, &request, &spent).await?;
            self.breakers.note_request();
        }
        self.publish_requests(takeover_seconds).await?;
        confirm::record(&self.store).await
    }

    /// Leaves out the proposals that people have dismissed, rejected or suppressed. The acts are read after the
    /// proposals, and are news for the lanes too.
    async fn not_withdrawn(
        &mut self,
        proposals: Vec<Proposal>,
    ) -> Result<Vec<Proposal>, StoreError> {
        let ids: Vec<&str> = proposals.iter().map(|it| it.alert.id.as_str()).collect();
        let casebook = self.outbox.casebook();
        casebook.learn(self.store.acts_of(&ids).await?);
        let is_withdrawn = |proposal: &Proposal| {
            let alert = &proposal.alert;
            let is_dropped = casebook.standing(&alert.id).is_some_and(|standing| {
                let ruling = standing.ruling_on(&Seen::of(alert));
                withdraws(&standing, alert) || ruling.is_some_and(|ruling| !ruling.is_approval)
            });
            is_dropped || casebook.suppression(alert).is_some()
        };
        let (withdrawn, rest): (Vec<_>, Vec<_>) = proposals.into_iter().partition(is_withdrawn);
        gauge!("keywatch_revocations_withdrawn").set(withdrawn.len() as f64);
        if withdrawn.len() > self.withdrawn {
            info!(
                withdrawn = withdrawn.len(),
                "proposals of dismissed, rejected or suppressed incidents"
            );
        }
        self.withdrawn = withdrawn.len();
        Ok(rest)
    }

    async fn learn_facts(&mut self, proposals: &[Proposal]) -> Result<(), StoreError> {
        if !self.rules.asks_for_facts() {
            return Ok(());
        }
        let begins: HashMap<&KeyId, EventTime> = proposals
            .iter()
            .filter_map(|it| Some((it.alert.key_id.as_ref()?, it.alert.first_event_time)))
            .collect();
        self.facts.retain(|key, _| begins.contains_key(key));
        let unknown: Vec<(&str, EventTime)> = begins
            .into_iter()
            .filter(|(key, _)| !self.facts.contains_key(*key))
            .map(|(key, begin)| (key.as_str(), begin))
            .collect();
        let mut found: HashMap<_, _> = self.store.key_facts(&unknown).await?.into_iter().collect();
        for (key, _) in unknown {
            self.facts.insert(key.into(), found.remove(key).unwrap_or_default());
        }
        Ok(())
    }

    fn approval(&self, alert: &Alert) -> Approval {
        let standing = self.outbox.casebook().standing(&alert.id);
        if standing.is_some_and(|it| it.ruling_on(&Seen::of(alert)).is_some()) {
            return Approval::Given;
        }
        let facts = alert.key_id.as_ref().and_then(|key| self.facts.get(key));
        let facts = facts.cloned().unwrap_or_default();
        match self.rules.needs_approval(alert, &facts) {
            true => Approval::Pending,
            false => Approval::NotNeeded,
        }
    }

    /// Publishes a revision of each incident that waits for something new.
    async fn tell_waiting(
        &self,
        decision: &Decision<'_>,
        proposals: &[Proposal],
        takeover_seconds: f64,
        now: EventTime,
    ) -> Result<(), StoreError> {
        let by_id: HashMap<&str, &Proposal> =
            proposals.iter().map(|it| (it.alert.id.as_str(), it)).collect();
        let notice = |(alert, restraint): &(&Alert, Restraint)| {
            let proposal = by_id.get(alert.id.as_str())?;
            let is_due = proposal.is_own || proposal.age_seconds > takeover_seconds;
            let is_news = !proposal.told.contains(restraint);
            (is_due && is_news).then(|| respond::notice(alert, *restraint, now))
        };
        let notices: Vec<Alert> = decision.waiting.iter().filter_map(notice).collect();
        if !notices.is_empty() {
            publish_missing(&self.store, &self.outbox, notices).await?;
        }
        Ok(())
    }

    fn note_waiting(&mut self, decision: &Decision<'_>) {
        const WAITS: [Restraint; 3] =
            [Restraint::Budget, Restraint::Breaker, Restraint::ApprovalPending];
        for restraint in WAITS {
            let count = |action: Action| {
                let waits = |(alert, waits): &&(&Alert, Restraint)| {
                    *waits == restraint && alert.action == action
                };
                decision.waiting.iter().filter(waits).count()
            };
            let (revocations, suspensions) = (count(Action::Revoke), count(Action::Suspend));
            let label = restraint.as_str();
            gauge!("keywatch_revocations_waiting", "restraint" => label).set(revocations as f64);
            gauge!("keywatch_suspensions_waiting", "restraint" => label).set(suspensions as f64);
            if revocations + suspensions > 0 && decision.waiting.len() > self.waiting {
                warn!(revocations, suspensions, restraint = label, "proposed requests wait");
            }
        }
        self.waiting = decision.waiting.len();
    }

    async fn tell_breakers(
        &mut self,
        open: &[Breaker],
        takeover_seconds: f64,
    ) -> Result<(), StoreError> {
        let version = self.rules.version();
        let alerts = self.breakers.look(&self.store, open, version, takeover_seconds).await?;
        if !alerts.is_empty() {
            publish_missing(&self.store, &self.outbox, alerts).await?;
        }
        Ok(())
    }

    /// Publishes requests as alerts. The row of a request comes before its effect: a process that
    /// dies in between has spent the budget, and other processes do the rest.
    async fn publish_requests(&self, takeover_seconds: f64) -> Result<(), StoreError> {
        for request in self.store.untold_requests().await? {
            if request.is_own || request.age_seconds > takeover_seconds {
                let (id, age_seconds) = (request.alert.id.clone(), request.age_seconds);
                let action = request.alert.action.as_str();
                if publish_missing(&self.store, &self.outbox, vec![request.alert]).await? > 0 {
                    info!(id, action, age_seconds, is_own = request.is_own, "a request is made");
                }
            }
        }
        Ok(())
    }
}
