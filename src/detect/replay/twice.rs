//! Finds an API that accepts the same signed request twice within seconds, again and again, from
//! the key's own address: `replay.duplicate_nonce`. The API seems not to check nonces.

use serde_json::json;

use super::Repetition;
use crate::alert::DetectorId;
use crate::detect::Signal;
use crate::event::AccessEvent;
use crate::profile::Profile;
use crate::profile::nonce::Again;

/// A client may lose a few answers on their way.
const HANDFUL: u32 = 5;
/// Smallest p-value: one hour of one client does not prove more than this.
const LEAST: f64 = 1e-9;

/// Requests of one hour that were accepted twice.
#[derive(Clone, Copy, Debug)]
pub struct AcceptedTwice {
    pub p_value: f64,
    pub detector: DetectorId,
    repeated: u32,
    usual: f64,
}

/// Judges the number of repeated requests of this hour that the API accepted both times, as a
/// Poisson count.
pub fn find_accepted_twice(
    profile: &Profile,
    event: &AccessEvent,
    repetition: Option<&Repetition>,
) -> Option<AcceptedTwice> {
    repetition.filter(|repetition| repetition.again == Again::AcceptedTwice)?;
    let (twice, seen, detector) = match event.nonce {
        Some(_) => {
            let nonces = &profile.nonces;
            (nonces.twice, nonces.repetitions().seen, DetectorId::DuplicateNonce)
        }
        None => {
            let seen = profile.signatures.seen;
            (profile.nonces.twice, seen, DetectorId::DuplicateSignature)
        }
    };
    let (repeated, usual) = twice.with_one_more(event.time, seen);
    let count = f64::from(repeated);
    if repeated < HANDFUL || count <= usual {
        return None;
    }
    // Chernoff's bound on the upper tail of a Poisson count.
    let p_value = (count - usual - count * (count / usual).ln()).exp().max(LEAST);
    Some(AcceptedTwice { p_value, detector, repeated, usual })
}

impl AcceptedTwice {
    pub fn into_signal(self, event: &AccessEvent) -> Signal {
        let Self { p_value, detector, repeated, usual } = self;
        Signal {
            detector,
            p_value,
            observed: Some(f64::from(repeated)),
            expected: Some(usual),
            headline: "the API accepts the same signed request twice".to_owned(),
            sentence: format!(
                "{repeated} signed requests of this hour came twice within seconds from the same \
                 address, the last from {}, and the API accepted both each time ({usual:.1} are \
                 usual): the API seems not to check nonces.",
                event.client_ip
            ),
            fields: json!({
                "accepted_twice": repeated,
                "usual": usual,
                "ip": event.client_ip,
                "status": event.status,
            }),
            ceiling: None,
        }
    }
}
