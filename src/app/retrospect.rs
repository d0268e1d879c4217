//! A past told again to an engine of its own.

use std::sync::Arc;

use crate::config::Config;
use crate::detect::outlier::Model;
use crate::detect::priors::Priors;
use crate::engine::Engine;
use crate::event::{EnrichedEvent, PartitionId, RecordPosition, ShardId};
use crate::registry::Registry;

/// Takes events of files or of the store as one log, and judges them without any knowledge
/// from before. Numbers of nonces, which no store has, are left out: the same past teaches the
/// same wherever it comes from.
pub struct Retrospect {
    engine: Engine,
    partition: PartitionId,
    offset: i64,
}

impl Retrospect {
    pub fn new(config: &Config, model: &Model) -> Self {
        let mut engine = Engine::new(&config.detect, &config.policy, Registry::default());
        engine.set_model(Arc::new(Model { priors: Priors::default(), ..model.clone() }));
        let partition = PartitionId { topic: "history".into(), partition: 0 };
        Self { engine, partition, offset: 0 }
    }

    pub fn tell(&mut self, mut events: Vec<EnrichedEvent>) {
        for enriched in &mut events {
            self.offset += 1;
            enriched.position = RecordPosition { offset: self.offset, index: 0 };
            if let Some(nonce) = &mut enriched.event.nonce {
                nonce.number = None;
            }
        }
        self.engine.process(ShardId::Shared, &self.partition, &events, None);
    }

    /// After everything that was told.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub fn priors(&self) -> Priors {
        self.engine.priors(ShardId::Shared).unwrap_or_default()
    }
}
