//! Finds a nonce that goes back although the key's nonces always rise: `replay.out_of_order_nonce`.

use serde_json::json;

use crate::alert::DetectorId;
use crate::detect::Signal;
use crate::event::{AccessEvent, Fingerprint};
use crate::profile::Profile;
use crate::profile::nonce::{Discipline, MAX_NONCE_AGE_SECONDS, NANOS, NonceProfile};
use crate::text::duration;

/// Probability that an innocent client restarts its nonces after the first time.
const RESTART: f64 = 1e-3;

/// A nonce that went back.
#[derive(Clone, Copy, Debug)]
pub struct OutOfOrder {
    pub p_value: f64,
    fingerprint: Fingerprint,
    /// In nanoseconds if the nonces are clock readings.
    step_back: u64,
}

/// Finds a nonce that went back. A request that is itself late in the log proves nothing.
///
/// `is_at_home` says that the request came from a site where the key is established. There a
/// counter may restart, and a key whose nonces step back is reported only once.
pub fn find_out_of_order(
    profile: &Profile,
    event: &AccessEvent,
    is_at_home: bool,
) -> Option<OutOfOrder> {
    let (nonces, nonce) = (&profile.nonces, event.nonce?);
    let number = nonce.number?;
    let height = nonces.height(number);
    if !nonces.always_rises() || height >= nonces.highest() || event.time < profile.last_seen {
        return None;
    }
    if nonces.begins_again(number) || nonces.is_in_settled_lane(number) {
        return None;
    }
    if is_at_home && (nonces.is_reset(number) || nonces.told.steps_back) {
        return None;
    }
    let step_back = nonces.highest() - height;
    if !nonces.is_far_back(step_back) || agrees_with_clock(profile, event, height) {
        return None;
    }
    let share = (f64::from(nonces.falls()) + 0.5) / (f64::from(nonces.rises()) + 1.0);
    let p_value = (share * RESTART).min(1.0);
    Some(OutOfOrder { p_value, fingerprint: nonce.fingerprint, step_back })
}

/// Whether a clock reading agrees with the time of its request, in any unit, or with the client's
/// usual clock skew.
fn agrees_with_clock(profile: &Profile, event: &AccessEvent, height: u64) -> bool {
    let Discipline::Time { .. } = profile.nonces.discipline() else { return false };
    let age = event.time.as_seconds() - height as f64 / NANOS as f64;
    let usual_skew = profile.clock.settled_skew().unwrap_or(0.0);
    [0.0, usual_skew].iter().any(|skew| (age - skew).abs() <= MAX_NONCE_AGE_SECONDS as f64)
}

impl OutOfOrder {
    pub fn into_signal(self, nonces: &NonceProfile, event: &AccessEvent) -> Signal {
        let Self { step_back, .. } = self;
        let back = match nonces.discipline() {
            Discipline::Time { .. } => duration(step_back as f64 / NANOS as f64),
            _ => step_back.to_string(),
        };
        Signal {
            detector: DetectorId::OutOfOrderNonce,
            p_value: self.p_value,
            observed: Some(step_back as f64),
            expected: Some(0.0),
            headline: "a nonce went backwards".to_owned(),
            sentence: format!(
                "After {} nonces that always rose, one from {} went back by {back}.",
                nonces.rises(),
                event.client_ip
            ),
            fields: json!({
                "steps_back": step_back,
                "fingerprint": self.fingerprint.to_string(),
                "usual_step_back": nonces.usual_step_back(),
                "discipline": nonces.discipline().as_str(),
                "ip": event.client_ip,
            }),
            ceiling: None,
        }
    }
}
