//! Knows which fields an event has, and which detectors need them.

use serde::Serialize;

use crate::decode::{Decoder, ToLog};
use crate::event::AccessEvent;

/// Below this share of events with a field, its detectors see too little.
const BLIND_BELOW: f64 = 0.9;

/// The share of events that have a field.
#[derive(Clone, Debug, Serialize)]
pub struct FieldShare {
    pub field: &'static str,
    pub share: f64,
}

/// Detectors that lack a field.
#[derive(Clone, Debug, Serialize)]
pub struct Blindness {
    pub field: &'static str,
    /// The share of events that have it.
    pub share: f64,
    /// What is blind to events without it.
    pub detectors: &'static [&'static str],
    pub consequence: &'static str,
    /// The setting of the gateway that adds the field, if one is known.
    pub to_log: Option<String>,
    /// False: the gateway cannot log it.
    pub is_possible: bool,
}

struct Optional {
    field: &'static str,
    is_present: fn(&AccessEvent) -> bool,
    detectors: &'static [&'static str],
    consequence: &'static str,
}

macro_rules! optional {
    ($field:ident, $detectors:expr, $consequence:expr) => {
        Optional {
            field: stringify!($field),
            is_present: |event| event.$field.is_some(),
            detectors: &$detectors,
            consequence: $consequence,
        }
    };
}

/// In the order in which they are shown: the most useful first.
const OPTIONAL: &[Optional] = &[
    optional!(request_id, [], "a redelivery is told from a replay by its position only"),
    optional!(
        nonce,
        ["replay.duplicate_nonce", "replay.out_of_order_nonce", "replay.weak_nonce"],
        "replays cannot be seen"
    ),
    optional!(client_time, ["replay.stale_timestamp"], "stale requests cannot be seen"),
    optional!(signature, ["replay.duplicate_signature"], "replays cannot be seen"),
    optional!(user_agent, ["client.new_agent"], "a new client cannot be seen"),
    optional!(client_fingerprint, ["client.new_fingerprint"], "a new client cannot be seen"),
    optional!(bytes_out, ["behaviour.bulk_export"], "exports cannot be seen"),
    optional!(tenant, [], "a new key borrows no habits from the other keys of its tenant"),
    optional!(
        environment,
        ["policy.environment_mismatch"],
        "a development key in production cannot be seen"
    ),
    optional!(latency_ms, [], ""),
    optional!(bytes_in, [], ""),
    optional!(scope, [], ""),
    optional!(authenticated, [], ""),
    optional!(validity_ms, [], ""),
    optional!(auth_method, [], ""),
];

/// Counts the fields of events.
#[derive(Debug, Default)]
pub(super) struct Fields {
    events: u64,
    present: [u64; OPTIONAL.len()],
}

impl Fields {
    pub fn count(&mut self, event: &AccessEvent) {
        self.events += 1;
        for (count, optional) in self.present.iter_mut().zip(OPTIONAL) {
            *count += u64::from((optional.is_present)(event));
        }
    }

    pub fn shares(&self) -> Vec<FieldShare> {
        let shares = OPTIONAL.iter().zip(self.present).map(|(optional, present)| FieldShare {
            field: optional.field,
            share: present as f64 / self.events.max(1) as f64,
        });
        shares.collect()
    }

    /// What the log does not show. `decoder` knows the settings of the gateways.
    pub fn blind(&self, decoder: &Decoder, format: &str) -> Vec<Blindness> {
        let shares = self.shares().into_iter().zip(OPTIONAL);
        let lacking = shares.filter(|(share, optional)| {
            let has_use = !optional.consequence.is_empty();
            has_use && share.share < BLIND_BELOW
        });
        lacking
            .map(|(share, optional)| {
                let (to_log, is_possible) = match decoder.to_log(format, share.field) {
                    ToLog::Setting(setting) => (Some(setting), true),
                    ToLog::Impossible => (None, false),
                    ToLog::Unknown => (None, true),
                };
                Blindness {
                    field: share.field,
                    share: share.share,
                    detectors: optional.detectors,
                    consequence: optional.consequence,
                    to_log,
                    is_possible,
                }
            })
            .collect()
    }
}
