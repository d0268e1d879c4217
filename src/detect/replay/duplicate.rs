//! Finds a nonce or a signature that is used again in another request: `replay.duplicate_nonce`,
//! `replay.duplicate_signature`.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{
    Earlier, FirstUse, MILD, Repetition, is_late, is_quick_neighbour, is_safe, is_same_client,
};
use crate::alert::{Action, Ceiling, DetectorId, Restraint};
use crate::answer::{Answer, invites_retry};
use crate::detect::Signal;
use crate::event::{AccessEvent, EnrichedEvent, HOUR_SECONDS, SitePrefix};
use crate::profile::Profile;
use crate::profile::nonce::Again;
use crate::text::duration;

/// Pseudo-count of a client's repetitions by mistake: from the same address, ...
const MISTAKES_HERE: f64 = 0.05;
/// ... from a neighbouring one, ...
const MISTAKES_NEARBY: f64 = 1e-4;
/// ... and from another network.
const MISTAKES_ELSEWHERE: f64 = 1e-9;

/// A key is young for this long, however much it signs: its workers are not known yet.
const YOUNG_SECONDS: f64 = 3_600.0;

/// A nonce or a signature that is used again.
#[derive(Clone, Copy, Debug)]
pub struct Duplicate {
    pub p_value: f64,
    /// The detector: of nonces or of signatures.
    pub detector: DetectorId,
    /// The strongest action that this may lead to.
    pub ceiling: Option<Ceiling>,
    /// Whether the key's own machines show a habit: only that may make later repetitions usual. A
    /// repetition that others may have sent has an innocent cause at best.
    pub is_own_habit: bool,
    /// Whether machines of one network asked the same at once. It is worth one notice, and makes no
    /// other repetition usual.
    pub is_of_pool_at_once: bool,
    repetition: Repetition,
    /// Seconds since the first use, if that is known.
    gap: Option<f64>,
}

/// Judges a repetition by how often this key repeats by mistake, and by where it comes from.
pub fn find_duplicate(
    profile: &Profile,
    enriched: &EnrichedEvent,
    repetition: Option<&Repetition>,
) -> Option<Duplicate> {
    let repetition = *repetition?;
    let event = &enriched.event;
    let (detector, usual) = match (repetition.again, event.nonce) {
        (Again::Collision | Again::Retry | Again::AcceptedTwice | Again::AtOnce, _) => return None,
        (Again::Replay, Some(_)) => (DetectorId::DuplicateNonce, profile.nonces.repetitions()),
        (Again::Replay, None) | (Again::NewNonce, _) => {
            (DetectorId::DuplicateSignature, profile.signatures)
        }
    };
    let (mistakes, gap) = match repetition.earlier {
        Earlier::Known(first) => {
            (mistakes(event.client_ip, first.ip), Some(event.time.seconds_since(first.time)))
        }
        // The first request is unknown, so that the most innocent one is assumed.
        Earlier::Within { .. } => (MISTAKES_HERE, None),
    };
    // Beta posterior of the share of repetitions. A broken client has a high share.
    let p_value = (f64::from(usual.repeated) + mistakes) / (f64::from(usual.seen) + 1.0);
    let ceiling = ceiling(profile, enriched, repetition.earlier);
    let is_own_habit = is_own_habit(profile, event, repetition.earlier);
    let is_of_pool_at_once = matches!(repetition.earlier, Earlier::Known(first)
        if is_at_once(event, &first) && is_of_pool(profile, enriched, &first));
    let p_value = p_value.min(1.0);
    Some(Duplicate {
        p_value,
        detector,
        ceiling,
        is_own_habit,
        is_of_pool_at_once,
        repetition,
        gap,
    })
}

fn is_young(profile: &Profile, event: &AccessEvent) -> bool {
    event.time.seconds_since(profile.first_seen) < YOUNG_SECONDS
}

fn is_own_habit(profile: &Profile, event: &AccessEvent, earlier: Earlier) -> bool {
    let is_own = |first| is_same_client(event, &first, &profile.signers);
    is_young(profile, event) || matches!(earlier, Earlier::Known(first) if is_own(first))
}

/// A young key may repeat by habit. If the API refused the request, it saw the repetition too. A
/// first request that only its short fingerprint names may be another one by chance. A queue of the
/// key's own machines may send again what it has sent.
fn ceiling(profile: &Profile, enriched: &EnrichedEvent, earlier: Earlier) -> Option<Ceiling> {
    let event = &enriched.event;
    let at_most = |reason| Some(Ceiling { most: Action::Notify, reason });
    match event.answer() {
        Answer::Refused | Answer::ClientError => at_most(Restraint::OrdinaryCause),
        _ if is_young(profile, event) => at_most(Restraint::YoungKey),
        _ => match earlier {
            Earlier::Within { .. } => at_most(Restraint::OrdinaryCause),
            Earlier::Known(first) if is_quick_neighbour(event, &first) => {
                at_most(Restraint::OrdinaryCause)
            }
            Earlier::Known(first) if is_same_client(event, &first, &profile.signers) => {
                at_most(Restraint::KnownAddress)
            }
            Earlier::Known(first) => {
                let most = most_of_workers(profile, enriched, &first)?;
                Some(Ceiling { most, reason: Restraint::OrdinaryCause })
            }
        },
    }
}

const AT_ONCE_SECONDS: f64 = 2.0;

/// Whether two machines asked the same at the same time. Without a nonce, and with a time in seconds,
/// all machines of a load test or a laboratory sign the same request alike, wherever they are. Whoever
/// sends a captured one so quickly can only read what was just read.
fn is_at_once(event: &AccessEvent, first: &FirstUse) -> bool {
    is_safe(event) && event.time.seconds_since(first.time).abs() <= AT_ONCE_SECONDS
}

/// The most that may follow where workers of the owner may have sent both: they retry what failed, or
/// ask for the same at once. `None` where they have not.
///
/// A pool gives each worker another address of its network, perhaps in another region. Whoever rents a
/// machine there, captures a request and copies the program can pass for one of them: the replay is
/// told, and suspends nobody. Who stands on the way can break off the owner's request too, so that a
/// change whose client gave up is not excused.
fn most_of_workers(
    profile: &Profile,
    enriched: &EnrichedEvent,
    first: &FirstUse,
) -> Option<Action> {
    let (event, origin) = (&enriched.event, &enriched.origin);
    let is_pool = is_of_pool(profile, enriched, first);
    if is_at_once(event, first) && (is_pool || event.nonce.is_none()) {
        return Some(if is_pool { Action::Notify } else { Action::Throttle });
    }
    let is_established = profile.places.is_established(event.client_ip, origin);
    (is_pool && is_workers_retry(event, first)).then_some(if is_established {
        Action::Notify
    } else {
        Action::Throttle
    })
}

/// Whether both requests came from one network of the key, the second with a program of the key.
fn is_of_pool(profile: &Profile, enriched: &EnrichedEvent, first: &FirstUse) -> bool {
    first.asn != 0
        && first.asn == enriched.origin.asn
        && profile.places.knows_network(&enriched.origin)
        && profile.clients.knows_program_of(&enriched.event)
}

fn is_workers_retry(event: &AccessEvent, first: &FirstUse) -> bool {
    let is_later = event.time.seconds_since(first.time) >= 0.0;
    let status = if is_later { first.status } else { event.status };
    let is_answered = matches!(status, 429 | 500..);
    invites_retry(status) && (is_safe(event) || is_answered) && !is_late(event, first)
}

/// P-value of a refused request whose signature proves that a stranger captured it.
const CAPTURED: f64 = 1e-5;

/// Finds a refused request that repeats the signed values of an accepted one, from another machine
/// that is not the key's own.
pub fn refused_replay(
    profile: &Profile,
    enriched: &EnrichedEvent,
    repetition: Repetition,
) -> Option<Signal> {
    let event = &enriched.event;
    let Earlier::Known(first) = repetition.earlier else { return None };
    if is_quick_neighbour(event, &first) || is_same_client(event, &first, &profile.signers) {
        return None;
    }
    let detector = match (repetition.again, event.nonce) {
        (Again::Replay, Some(_)) => DetectorId::DuplicateNonce,
        _ => DetectorId::DuplicateSignature,
    };
    let gap = Some(event.time.seconds_since(first.time));
    let is_captured =
        first.signed.has_signature_of(event) && is_stranger(profile, enriched, &first);
    let p_value = if is_captured { CAPTURED } else { MILD };
    let found = Duplicate {
        p_value,
        detector,
        ceiling: None,
        is_own_habit: false,
        is_of_pool_at_once: false,
        repetition,
        gap,
    };
    let mut signal = found.into_signal(enriched);
    signal.headline = format!("a captured request from {} was refused", event.client_ip);
    signal.sentence += " The API refused it, but somebody can read the requests of this \
                        key.";
    Some(signal.at_most(Action::Notify, Restraint::AttemptsOnly))
}

/// No client sends a request again so long after its answer.
const FORGOTTEN_SECONDS: f64 = HOUR_SECONDS;

/// Whether somebody else than the key's own machines sent the request. It comes from a place that is
/// not the key's, and late or with another program; or so late that even a machine next door has no
/// reason. Who changes from Wi-Fi to a mobile network retries at once with the same program.
fn is_stranger(profile: &Profile, enriched: &EnrichedEvent, first: &FirstUse) -> bool {
    let event = &enriched.event;
    let is_other_program = !profile.clients.knows_program_of(event);
    let is_away = !profile.places.is_established(event.client_ip, &enriched.origin);
    event.time.seconds_since(first.time) > FORGOTTEN_SECONDS
        || is_away && (is_late(event, first) || is_other_program)
}

fn mistakes(here: IpAddr, first: IpAddr) -> f64 {
    if here == first {
        MISTAKES_HERE
    } else if SitePrefix::is_shared(here, first) {
        MISTAKES_NEARBY
    } else {
        MISTAKES_ELSEWHERE
    }
}

impl Duplicate {
    pub fn into_signal(self, enriched: &EnrichedEvent) -> Signal {
        let event = &enriched.event;
        Signal {
            detector: self.detector,
            p_value: self.p_value,
            observed: self.gap,
            expected: None,
            headline: format!("a signed request was sent again from {}", event.client_ip),
            sentence: self.sentence(event),
            fields: json!({
                "first_request": first_request(&self.repetition.earlier),
                "second_request": {
                    "time": event.time, "ip": event.client_ip, "status": event.status,
                    "offset": enriched.position.offset, "request_id": event.request_id,
                },
                "gap_seconds": self.gap,
                "fingerprint": self.repetition.fingerprint.to_string(),
            }),
            ceiling: None,
        }
    }

    fn sentence(&self, event: &AccessEvent) -> String {
        let is_signature = self.detector == DetectorId::DuplicateSignature;
        let what = if is_signature { "signature" } else { "nonce" };
        let AccessEvent { client_ip, time, status, .. } = event;
        let under = match self.repetition.again {
            Again::NewNonce => " under another nonce",
            _ => "",
        };
        let again = format!("came again{under} from {client_ip} at {time} (status {status})");
        match self.repetition.earlier {
            Earlier::Known(FirstUse { time, ip, status, .. }) => {
                let later = duration(self.gap.unwrap_or_default().abs());
                format!(
                    "A {what} first used from {ip} at {time} (status {status}) {again}, {later} \
                     later."
                )
            }
            Earlier::Within { seconds } => {
                let before = duration(seconds);
                format!(
                    "A {what} that was used within the {before} before {again}. The first request \
                     is no longer in memory, and there is no store to look it up in."
                )
            }
        }
    }
}

fn first_request(earlier: &Earlier) -> Value {
    match earlier {
        Earlier::Known(first) => json!({
            "time": first.time, "ip": first.ip, "status": first.status,
            "offset": first.position.offset,
        }),
        Earlier::Within { .. } => Value::Null,
    }
}
