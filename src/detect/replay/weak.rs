//! Finds guessable nonces: `replay.weak_nonce`. Either nonces that could not be guessed now count
//! in small steps, or different requests have the same nonce.

use serde_json::json;

use super::{MILD, Repetition};
use crate::alert::DetectorId;
use crate::detect::Signal;
use crate::event::{AccessEvent, Fingerprint};
use crate::profile::nonce::{Again, Discipline, NonceProfile, SMALL_STEP};

/// This many small steps in a row are not chance.
const SMALL_STEPS: u32 = 3;
/// This many nonces that two requests share are not chance.
const COLLISIONS: u32 = 3;

/// Nonces that have become guessable.
#[derive(Clone, Copy, Debug)]
pub struct WeakNonces {
    pub p_value: f64,
    /// Number of small steps in a row.
    run: u32,
    /// Number of earlier nonces.
    seen: u32,
}

/// Finds nonces that rise in small steps although the key's nonces are random.
pub fn find_weak_nonces(nonces: &NonceProfile, event: &AccessEvent) -> Option<WeakNonces> {
    let run = nonces.small_steps(event.nonce?.number?);
    if nonces.discipline() != Discipline::Random || run < SMALL_STEPS {
        return None;
    }
    let seen = nonces.repetitions().seen;
    let p_value = (1.0 / (f64::from(seen) + 1.0)).powi(2).max(1e-9);
    Some(WeakNonces { p_value, run, seen })
}

/// Different requests with the same nonce.
#[derive(Clone, Copy, Debug)]
pub struct Collisions {
    seen: u32,
    collisions: u32,
    fingerprint: Fingerprint,
}

/// Finds workers that do not coordinate their nonces. It is reported once, and it is not theft: a
/// thief who captured a request would send the same signed values.
pub fn find_collisions(
    nonces: &NonceProfile,
    repetition: Option<&Repetition>,
) -> Option<Collisions> {
    let repetition = repetition.filter(|repetition| repetition.again == Again::Collision)?;
    let collisions = nonces.collisions().saturating_add(1);
    (collisions >= COLLISIONS && !nonces.told.collisions).then(|| Collisions {
        seen: nonces.repetitions().seen,
        collisions,
        fingerprint: repetition.fingerprint,
    })
}

impl Collisions {
    pub fn into_signal(self, event: &AccessEvent) -> Signal {
        let Self { seen, collisions, fingerprint } = self;
        Signal {
            detector: DetectorId::WeakNonce,
            p_value: MILD,
            observed: Some(f64::from(collisions)),
            expected: Some(0.0),
            headline: "different requests have the same nonce".to_owned(),
            sentence: format!(
                "{collisions} of {seen} nonces came in two requests that were signed differently: \
                 the key's workers do not coordinate their nonces, so that the API cannot recognise \
                 a replay by them.",
            ),
            fields: json!({
                "collisions": collisions,
                "nonces_seen": seen,
                "fingerprint": fingerprint.to_string(),
                "ip": event.client_ip,
            }),
            ceiling: None,
        }
    }
}

impl WeakNonces {
    pub fn into_signal(self, nonces: &NonceProfile, event: &AccessEvent) -> Signal {
        let Self { p_value, run, seen } = self;
        Signal {
            detector: DetectorId::WeakNonce,
            p_value,
            observed: Some(f64::from(run)),
            expected: Some(0.0),
            headline: "its nonces have become guessable".to_owned(),
            sentence: format!(
                "After {seen} nonces that could not be guessed, {run} in a row from {} rose by at \
                 most {SMALL_STEP}: another client uses the key, or its own is broken.",
                event.client_ip
            ),
            fields: json!({
                "steps_in_a_row": run,
                "largest_step": SMALL_STEP,
                "discipline": nonces.discipline().as_str(),
                "ip": event.client_ip,
            }),
            ceiling: None,
        }
    }
}
