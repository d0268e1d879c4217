//! Scores stored history again, in an engine of its own.

use std::sync::Arc;

use crate::config::Config;
use crate::detect::outlier::Model;
use crate::detect::priors::Priors;
use crate::event::{EnrichedEvent, PartitionId, RecordPosition, ShardId};
use crate::registry::Registry;

use super::Engine;

/// Judges events of files or of the store as one log, in an engine without earlier state.
///
/// It removes the numbers of nonces, because the store does not keep them. The same history then
/// teaches the same, whether it comes from files or from the store.
pub struct HistoryScorer {
    engine: Engine,
    partition: PartitionId,
    offset: i64,
    quarantined: u64,
}

impl HistoryScorer {
    pub fn new(config: &Config, model: &Model) -> Self {
        let mut engine = Engine::new(&config.detect, &config.policy, Registry::default());
        engine.set_model(Arc::new(Model { priors: Priors::default(), ..model.clone() }));
        let partition = PartitionId { topic: "history".into(), partition: 0 };
        Self { engine, partition, offset: 0, quarantined: 0 }
    }

    pub fn score(&mut self, mut events: Vec<EnrichedEvent>) {
        for enriched in &mut events {
            self.offset += 1;
            enriched.position = RecordPosition { offset: self.offset, index: 0 };
            if let Some(nonce) = &mut enriched.event.nonce {
                nonce.number = None;
            }
        }
        let outcome = self.engine.process(ShardId::Shared, &self.partition, &events, None);
        self.quarantined += outcome.quarantined().count() as u64;
    }

    /// Number of events whose time could not be trusted. They are not part of any figure.
    pub fn quarantined(&self) -> u64 {
        self.quarantined
    }

    /// The engine in its state after all scored events.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub fn priors(&self) -> Priors {
        self.engine.priors(ShardId::Shared).unwrap_or_default()
    }
}
